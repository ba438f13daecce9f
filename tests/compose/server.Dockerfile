# The one static binary and nothing else: it brings the shells' images and loads them into the Engine by itself.
FROM scratch
# DOCKER: from its second start on a container's tmpfs has the mode of the folder under it, so /tmp is here with its own
# (seen on 20.10).
COPY rootfs/ /
ENTRYPOINT ["/shellcraft"]
