#!/bin/sh
# Asks a server one question. Off this machine, with a key made by
#   magistrate caller key new --name gateway --kind check --reason "the gateway" --out gateway.key
#   MAGISTRATE_SERVER=https://magistrate.example:7700 MAGISTRATE_API_KEY_FILE=gateway.key MAGISTRATE_CA_FILE=ca.pem sh ask.sh
# Exit code 0 is an allow, 5 a deny, and anything else is no answer: a gateway takes all but 0 for a no.
exec "${MAGISTRATE:-magistrate}" --default-namespace Gateway check Gateway::User::ana POST Gateway::Route::acme/orders "$@"
