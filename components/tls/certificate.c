/*
 * certificate.c - what a connection is like, and who the peer is.
 */
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "openssl.h"

/* A distinguished name as "CN=a.org, O=A", as much as there is room for. */
void tls_write_name(const X509_NAME *name, char *text, size_t size) {
    BIO *bio = BIO_new(BIO_s_mem());
    int length = 0;
    if (bio != NULL &&
        X509_NAME_print_ex(bio, name, 0,
                           XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) >= 0)
        length = BIO_read(bio, text, (int)size - 1);
    text[length > 0 ? length : 0] = '\0';
    BIO_free(bio);
}

/* One name of a certificate as text, "" for kinds that do not concern us. */
static void write_general_name(const GENERAL_NAME *name, char *text,
                               size_t size) {
    const ASN1_STRING *value = name->d.ia5;
    const unsigned char *data = ASN1_STRING_get0_data(value);
    int length = ASN1_STRING_length(value);
    text[0] = '\0';
    if (name->type == GEN_IPADD)
        inet_ntop(length == 4 ? AF_INET : AF_INET6, data, text,
                  (socklen_t)size);
    else if (memchr(data, 0, (size_t)length) == NULL)
        snprintf(text, size, "%.*s", length, (const char *)data);
}

static int is_shown(const GENERAL_NAME *name) {
    int length;
    if (name->type == GEN_DNS || name->type == GEN_EMAIL ||
        name->type == GEN_URI)
        return 1;
    if (name->type != GEN_IPADD)
        return 0;
    length = ASN1_STRING_length(name->d.iPAddress);
    return length == 4 || length == 16;
}

/* The names that a certificate is made out to; as many as there is room for. */
void tls_write_names(const X509 *certificate, const char *separator, char *text,
                     size_t size) {
    GENERAL_NAMES *names =
        X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t end = 0;
    text[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        char one[300] = "";
        if (is_shown(name))
            write_general_name(name, one, sizeof(one));
        if (one[0] == '\0' || end + strlen(one) + strlen(separator) >= size)
            continue;
        end += (size_t)snprintf(text + end, size - end, "%s%s",
                                end > 0 ? separator : "", one);
    }
    GENERAL_NAMES_free(names);
}

int64_t tls_seconds(const ASN1_TIME *time) {
    struct tm parts;
    if (time == NULL || !ASN1_TIME_to_tm(time, &parts))
        return 0;
    return (int64_t)timegm(&parts);
}

static void write_fingerprint(const X509 *certificate, char *text) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    text[0] = '\0';
    if (!X509_digest(certificate, EVP_sha256(), hash, &size) || size != 32)
        return;
    for (unsigned i = 0; i < size; i++)
        sprintf(text + 2 * i, "%02x", hash[i]);
}

static void describe_peer(const X509 *certificate, ahost__tls_description *d) {
    d->has_peer = 1;
    tls_write_name(X509_get_subject_name(certificate), d->subject,
                   sizeof(d->subject));
    tls_write_name(X509_get_issuer_name(certificate), d->issuer,
                   sizeof(d->issuer));
    tls_write_names(certificate, "\n", d->names, sizeof(d->names));
    write_fingerprint(certificate, d->fingerprint);
    d->not_before = tls_seconds(X509_get0_notBefore(certificate));
    d->not_after = tls_seconds(X509_get0_notAfter(certificate));
}

void tls_describe(void *connection, ahost__tls_description *d) {
    tls_connection *c = connection;
    const X509 *certificate = SSL_get0_peer_certificate(c->ssl);
    const char *name = SSL_get_servername(c->ssl, TLSEXT_NAMETYPE_host_name);
    const unsigned char *protocol;
    unsigned size;
    ERR_clear_error();
    *d = (ahost__tls_description){.resumed = SSL_session_reused(c->ssl)};
    snprintf(d->version, sizeof(d->version), "%s", SSL_get_version(c->ssl));
    snprintf(d->cipher, sizeof(d->cipher), "%s", SSL_get_cipher_name(c->ssl));
    SSL_get0_alpn_selected(c->ssl, &protocol, &size);
    snprintf(d->protocol, sizeof(d->protocol), "%.*s", (int)size,
             (const char *)protocol);
    if (name != NULL)
        snprintf(d->server_name, sizeof(d->server_name), "%s", name);
    if (certificate != NULL)
        describe_peer(certificate, d);
    ERR_clear_error();
}
