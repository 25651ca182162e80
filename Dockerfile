# The controller and the Kustomize that it runs, and nothing else: no shell, no package manager, no user but one.
#
#   docker build --tag registry.example.com/waxwing:0.1.0 .

FROM docker.io/library/rust:1.95.0-bookworm AS waxwing
WORKDIR /build
COPY . .
RUN link/release --package waxwing --bin waxwing

FROM docker.io/library/golang:1.26.8-bookworm AS kustomize
WORKDIR /build
COPY tests/install-tools tests/
COPY tests/upstream/kustomize tests/upstream/kustomize
RUN tests/install-tools /tools kustomize

# glibc, libgcc and the certificates of public authorities, of the same Debian; "nonroot" is the user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=waxwing /build/target/release/waxwing /usr/local/bin/
COPY --from=kustomize /tools/bin/kustomize /usr/local/bin/
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/waxwing", "--kustomize=/usr/local/bin/kustomize"]
