# Build: docker build -t bounced .
# Run:   docker run -p 25:2525 -p 127.0.0.1:8525:8525 -p 127.0.0.1:8526:8526 \
#          -v bounced-data:/var/lib/bounced -v ./bounced.toml:/etc/bounced/bounced.toml:ro bounced
#
# The two cargo lines are the ones that .ci/run runs: one static binary, no C library needed.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
COPY config ./config
COPY benches ./benches

ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN cargo build --release --locked --bin bounced --target x86_64-unknown-linux-gnu
# The folder of the volume must exist with its owner before the volume is made.
RUN mkdir -p /rootfs/var/lib/bounced /rootfs/etc/bounced /rootfs/tmp \
    && cp target/x86_64-unknown-linux-gnu/release/bounced /rootfs/bounced \
    && chown -R 65532:65532 /rootfs/var/lib/bounced

FROM scratch
COPY --from=build /rootfs/ /
USER 65532:65532
WORKDIR /var/lib/bounced
VOLUME /var/lib/bounced
EXPOSE 2525 8525 8526
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/bounced", "readyz"]
ENTRYPOINT ["/bounced"]
CMD ["serve"]
