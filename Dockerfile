# The appliance in a container: its own user, everything it keeps in /data, a root file system that may be read-only.
#
#     docker build -t waybill .
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --locked --profile dist \
    && install -D -m 0755 target/dist/waybill /out/usr/local/bin/waybill \
    && install -d -m 0700 -o 10001 -g 10001 /out/data

FROM debian:bookworm-slim
COPY --from=build /out/usr/ /usr/
# Whom webhooks trust.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chown=10001:10001 /out/data /data
ENV WAYBILL_DATA=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
# FTP and the web interface; the passive range is the administrator's choice, see README.md.
EXPOSE 8021 8020
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s --retries=3 CMD ["waybill", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["waybill"]
