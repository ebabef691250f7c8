#!/bin/sh
# Asks a server one question. From another machine, with a key (see README.md):
#   MAGISTRATE_SERVER=https://magistrate.example:7700 MAGISTRATE_CA_FILE=ca.pem MAGISTRATE_API_KEY_FILE=application.key sh ask.sh
# The same in gRPC, which a program would rather speak (magistrate.v1.AuthorizationService, Check):
#   grpcurl -cacert ca.pem -H "authorization: Bearer $(cat application.key)" -d @ magistrate.example:7700 \
#     magistrate.v1.AuthorizationService/Check < question.json
exec "${MAGISTRATE:-magistrate}" --default-namespace App check App::User::bo edit App::Project::apollo "$@"
