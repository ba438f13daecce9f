# Debian's Redis with the libraries it needs, and no shell.
FROM scratch
COPY rootfs/ /
# A new volume at /data takes over whose it is.
COPY --chown=65533:65533 data/ /data/
USER 65533:65533
WORKDIR /data
ENTRYPOINT ["/usr/bin/redis-server"]
