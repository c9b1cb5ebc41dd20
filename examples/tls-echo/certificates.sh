#!/bin/sh
# Makes an authority of your own and a certificate of it for localhost, good for a month:
#
#     sh examples/tls-echo/certificates.sh DIRECTORY
set -eu
mkdir -p "$1"
cd "$1"
{
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \
        -subj "/CN=My own authority" -keyout ca.key -out ca.crt
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "/CN=localhost" -keyout server.key -out server.csr
    echo "subjectAltName = DNS:localhost, IP:127.0.0.1" >names
    openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial \
        -days 30 -extfile names -out server.crt
} 2>/dev/null
rm server.csr names
echo "$1: ca.crt server.crt server.key"
