# The image holds the program, the C library it is linked to, certificate authorities and one user; no shell.
#   docker build -t magistrate --build-arg VERSION=0.1.0 --build-arg REVISION="$(git rev-parse HEAD)" .
# Runs with a read-only root file system; the embedded store, where it is used, lies in /var/lib/magistrate.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Crates and everything compiled stay in caches: a change of ours compiles ours alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --profile dist --package magistrate-server --bin magistrate \
    && install -D -s target/dist/magistrate /out/magistrate

FROM debian:bookworm-slim AS root
# The newest authorities are wanted, whatever their version.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /out/magistrate /out/magistrate
COPY deploy/image/assemble.sh /out/assemble.sh
RUN sh /out/assemble.sh /out/magistrate /root-of-image

FROM scratch
ARG VERSION=""
ARG REVISION=""
LABEL org.opencontainers.image.title="magistrate" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.description="A centralized authorization policy decision point" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=root /root-of-image/ /
USER 65532:65532
# Where magistrate.toml is looked for, and the embedded store lies where no database is named.
WORKDIR /var/lib/magistrate
VOLUME ["/var/lib/magistrate"]
EXPOSE 7700
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s CMD ["/usr/bin/magistrate", "health"]
ENTRYPOINT ["/usr/bin/magistrate"]
CMD ["serve"]
