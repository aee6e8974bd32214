# One recipe for every image of the suite.
#
#   docker build --build-arg SERVICE=event-service --build-arg VERSION=2.0.0 -t event-service:2.0.0-dev .
#
# SERVICE is one of reminder-service, event-service, notification-scheduler, notification-service,
# or, for local use, suite or sandbox. One build makes all binaries, so the second image is a copy.
# `make images` builds them all.
#
# Base images are pinned by the digest of their index, which is the same on every platform. `make
# pin-images` writes the present digests; Dependabot proposes them each week.

FROM docker.io/library/rust:1.95-bookworm@sha256:6258907abe69656e41cd992e0b705cdcfabcbbe3db374f92ed2d47121282d4a1 AS chef
ARG CARGO_CHEF_VERSION=0.1.78
RUN cargo install --quiet --locked cargo-chef --version ${CARGO_CHEF_VERSION}
WORKDIR /src

FROM chef AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

# The dependencies: a layer that lasts until Cargo.lock changes.
FROM chef AS build
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --workspace --bins --recipe-path recipe.json
COPY . .
ARG VERSION
ENV SQLX_OFFLINE=true SUITE_VERSION=${VERSION}
RUN test -n "${VERSION}" || { echo 'VERSION is not set: --build-arg VERSION=2.0.0' >&2; exit 1; } \
    && cargo build --release --locked --workspace \
        --bin reminder-service --bin event-service --bin notification-scheduler --bin notification-service \
        --bin suite --bin sandbox

# Files that a binary needs: the C library, CA certificates, the time zone database, a user without
# rights.
FROM docker.io/library/debian:bookworm-slim@sha256:3783cc01769c7b2b1b83a5c5ad96c815348e28ed7da68e2e3687004faa906251 AS root
# Not pinned, because zones and certificates change.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates tzdata \
    && rm -rf /var/lib/apt/lists/*
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
WORKDIR /root-of-image
RUN mkdir -p etc/ssl/certs usr/share usr/local/bin /owned/data \
    && cp -a /usr/share/zoneinfo usr/share/ \
    && rm -rf usr/share/zoneinfo/posix usr/share/zoneinfo/right \
    && cp /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/ \
    && echo 'app:x:65532:65532:app:/data:/usr/sbin/nologin' > etc/passwd \
    && echo 'app:x:65532:' > etc/group \
    && echo 'hosts: files dns' > etc/nsswitch.conf \
    && cp --parents -L "$(ldd /bin/true | awk '/ld-linux/ {print $1}')" . \
    && for name in libc.so.6 libm.so.6 libgcc_s.so.1; do \
        cp --parents -L "$(ldconfig -p | awk -v name="$name" '$1 == name {print $NF; exit}')" .; \
    done
ARG SERVICE
COPY --from=build /src/target/release/${SERVICE} /binary/usr/local/bin/${SERVICE}
RUN ln -s "/usr/local/bin/${SERVICE}" /binary/entrypoint

FROM scratch AS service
COPY --from=root /root-of-image /
COPY --from=root --chown=65532:65532 /owned /
COPY --from=root /binary /
USER 65532:65532
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
ARG SERVICE
ARG VERSION
ARG REVISION=unknown
LABEL org.opencontainers.image.title="${SERVICE}" \
      org.opencontainers.image.description="Reminders that arrive: ${SERVICE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="MIT"
# The build runs the binary in the image's file system, so that a missing library fails the build.
RUN ["/entrypoint", "--version"]
EXPOSE 3000 9090
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["/entrypoint", "healthcheck"]
ENTRYPOINT ["/entrypoint"]
