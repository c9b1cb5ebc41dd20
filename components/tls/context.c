/*
 * context.c - settings made ready for use: certificates, keys, authorities, and
 * which of them a server shows to whom.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "openssl.h"

/* ---- PEM ---------------------------------------------------------------- */

/* OpenSSL would ask on the terminal. */
static int give_password(char *buffer, int size, int writing, void *password) {
    size_t length = password != NULL ? strlen(password) : 0;
    (void)writing;
    if (password == NULL || length > (size_t)size)
        return -1;
    memcpy(buffer, password, length);
    return (int)length;
}

static X509 *read_certificate(BIO *bio) {
    return PEM_read_bio_X509(bio, NULL, give_password, NULL);
}

/* The certificate and, behind it, those of its issuers. */
static int use_chain(SSL_CTX *ssl, const char *pem) {
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio != NULL ? read_certificate(bio) : NULL;
    int ok = certificate != NULL && SSL_CTX_use_certificate(ssl, certificate);
    X509_free(certificate);
    while (ok && (certificate = read_certificate(bio)) != NULL) {
        ok = (int)SSL_CTX_add0_chain_cert(ssl, certificate);
        if (!ok)
            X509_free(certificate);
    }
    BIO_free(bio);
    if (ok)
        ERR_clear_error(); /* "no start line" is the end */
    return ok;
}

static int use_key(SSL_CTX *ssl, const ahost__tls_identity *identity) {
    BIO *bio = BIO_new_mem_buf(identity->key, -1);
    EVP_PKEY *key =
        bio == NULL
            ? NULL
            : PEM_read_bio_PrivateKey(bio, NULL, give_password,
                                      (void *)(uintptr_t)identity->password);
    int ok = key != NULL && SSL_CTX_use_PrivateKey(ssl, key);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return ok;
}

static int use_identity(SSL_CTX *ssl, const ahost__tls_identity *identity,
                        ahost__tls_failure *failure) {
    if (!use_chain(ssl, identity->certificate)) {
        tls_explain_setting(failure, identity->certificate_name);
        return 0;
    }
    if (!use_key(ssl, identity)) {
        tls_explain_setting(failure, identity->key_name);
        return 0;
    }
    return 1;
}

/* Certificates of authorities, which a server names to its clients. */
static int use_authorities(SSL_CTX *ssl, const ahost__tls_settings *settings) {
    BIO *bio = BIO_new_mem_buf(settings->authorities, -1);
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    X509 *certificate;
    int count = 0, ok = bio != NULL;
    while (ok && (certificate = read_certificate(bio)) != NULL) {
        ok = X509_STORE_add_cert(store, certificate) &&
             (!settings->is_server || SSL_CTX_add_client_CA(ssl, certificate));
        X509_free(certificate);
        count++;
    }
    BIO_free(bio);
    if (ok && count > 0)
        ERR_clear_error();
    return ok && count > 0;
}

/* ---- the choice of a server --------------------------------------------- */

/* Whether a name is meant by "a.org" or "*.a.org". */
static int is_for(const char *pattern, const char *name) {
    const char *rest;
    if (strncmp(pattern, "*.", 2) != 0)
        return strcasecmp(pattern, name) == 0;
    rest = strchr(name, '.');
    return rest != NULL && rest != name && strcasecmp(pattern + 1, rest) == 0;
}

static const tls_identity *find_identity(const tls_context *context,
                                         const char *name) {
    for (size_t i = 0; i < context->identity_count; i++) {
        const tls_identity *identity = &context->identities[i];
        if (identity->host != NULL && is_for(identity->host, name))
            return identity;
    }
    return context->has_default ? &context->identities[0] : NULL;
}

/* Who asks for no name gets the first certificate. */
static int choose_identity(SSL *ssl, int *alert, void *data) {
    const tls_context *context = data;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    const tls_identity *identity = &context->identities[0];
    if (name != NULL)
        identity = find_identity(context, name);
    if (identity == NULL) {
        *alert = SSL_AD_UNRECOGNIZED_NAME;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    SSL_set_SSL_CTX(ssl, identity->ssl);
    return name != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

/* The first protocol of ours that the client speaks. */
static int choose_protocol(SSL *ssl, const unsigned char **chosen,
                           unsigned char *size, const unsigned char *offered,
                           unsigned offered_size, void *data) {
    const tls_context *context = data;
    unsigned char *found;
    (void)ssl;
    if (SSL_select_next_proto(&found, size, context->protocols,
                              context->protocols_size, offered,
                              offered_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- settings ----------------------------------------------------------- */

static int version_of(int number) {
    static const int versions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION,
                                   TLS1_3_VERSION};
    return versions[number - 10];
}

static int verify_mode(ahost__tls_verify verify) {
    switch (verify) {
    case AHOST__TLS_VERIFY_NONE:
        return SSL_VERIFY_NONE;
    case AHOST__TLS_VERIFY_OPTIONAL:
        return SSL_VERIFY_PEER;
    case AHOST__TLS_VERIFY_REQUIRED:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    return SSL_VERIFY_NONE;
}

static int set_trust(SSL_CTX *ssl, const ahost__tls_settings *settings,
                     ahost__tls_failure *failure) {
    SSL_CTX_set_verify(ssl, verify_mode(settings->verify), tls_verified);
    if (settings->authorities == NULL) {
        if (settings->verify != AHOST__TLS_VERIFY_NONE)
            SSL_CTX_set_default_verify_paths(ssl);
        ERR_clear_error();
        return 1;
    }
    if (use_authorities(ssl, settings))
        return 1;
    tls_explain_setting(failure, settings->authorities_name);
    return 0;
}

static int set_ciphers(SSL_CTX *ssl, const ahost__tls_settings *settings,
                       ahost__tls_failure *failure) {
    if (settings->ciphers == NULL ||
        SSL_CTX_set_cipher_list(ssl, settings->ciphers))
        return 1;
    tls_explain_setting(failure, "option 'ciphers'");
    return 0;
}

static void set_callbacks(SSL_CTX *ssl, tls_context *context) {
    if (!context->is_server) {
        SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT |
                                                SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ssl, tls_keep_session);
        if (context->protocols != NULL)
            SSL_CTX_set_alpn_protos(ssl, context->protocols,
                                    context->protocols_size);
        return;
    }
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_SERVER |
                                            SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_tlsext_servername_callback(ssl, choose_identity);
    SSL_CTX_set_tlsext_servername_arg(ssl, context);
    if (context->protocols != NULL)
        SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, context);
}

/* The context of one identity, NULL: of none. */
static SSL_CTX *new_ssl(tls_context *context,
                        const ahost__tls_settings *settings,
                        const ahost__tls_identity *identity,
                        ahost__tls_failure *failure) {
    static const unsigned char session_id[] = "ahost";
    SSL_CTX *ssl = SSL_CTX_new(settings->is_server ? TLS_server_method()
                                                   : TLS_client_method());
    if (ssl == NULL) {
        tls_explain_setting(failure, "OpenSSL");
        return NULL;
    }
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_id_context(ssl, session_id, sizeof(session_id));
    SSL_CTX_set_min_proto_version(ssl, version_of(settings->min_version));
    SSL_CTX_set_max_proto_version(ssl, version_of(settings->max_version));
    if (settings->min_version < 12) /* their hashes are below every level */
        SSL_CTX_set_security_level(ssl, 0);
    set_callbacks(ssl, context);
    if (set_ciphers(ssl, settings, failure) &&
        set_trust(ssl, settings, failure) &&
        (identity == NULL || use_identity(ssl, identity, failure)))
        return ssl;
    SSL_CTX_free(ssl);
    return NULL;
}

/* ---- contexts ----------------------------------------------------------- */

static int add_identity(tls_context *context,
                        const ahost__tls_settings *settings,
                        const ahost__tls_identity *identity,
                        ahost__tls_failure *failure) {
    tls_identity *added = &context->identities[context->identity_count];
    added->ssl = new_ssl(context, settings, identity, failure);
    if (added->ssl == NULL)
        return 0;
    context->identity_count++;
    if (identity != NULL && identity->host != NULL)
        added->host = strdup(identity->host);
    else
        context->has_default = 1;
    return 1;
}

static int copy_protocols(tls_context *context,
                          const ahost__tls_settings *settings) {
    if (settings->protocols_size == 0)
        return 1;
    context->protocols = malloc(settings->protocols_size);
    if (context->protocols == NULL)
        return 0;
    memcpy(context->protocols, settings->protocols, settings->protocols_size);
    context->protocols_size = (unsigned)settings->protocols_size;
    return 1;
}

static tls_context *new_context(const ahost__tls_settings *settings) {
    size_t count = settings->identity_count > 0 ? settings->identity_count : 1;
    tls_context *context = calloc(1, sizeof(*context));
    if (context == NULL)
        return NULL;
    context->references = 1;
    context->is_server = settings->is_server;
    context->verify = settings->verify;
    context->method = tls_new_method();
    context->identities = calloc(count, sizeof(*context->identities));
    if (context->method != NULL && context->identities != NULL &&
        copy_protocols(context, settings))
        return context;
    tls_context_free(context);
    return NULL;
}

void *tls_context_new(const ahost__tls_settings *settings,
                      ahost__tls_failure *failure) {
    tls_context *context = new_context(settings);
    int ok = context != NULL;
    ERR_clear_error();
    if (!ok)
        tls_explain_setting(failure, "OpenSSL");
    if (ok && settings->identity_count == 0)
        ok = add_identity(context, settings, NULL, failure);
    for (size_t i = 0; ok && i < settings->identity_count; i++)
        ok = add_identity(context, settings, &settings->identities[i], failure);
    if (ok)
        return context;
    tls_context_free(context);
    return NULL;
}

void tls_context_free(void *data) {
    tls_context *context = data;
    if (context == NULL || --context->references > 0)
        return;
    for (size_t i = 0; i < context->identity_count; i++) {
        SSL_CTX_free(context->identities[i].ssl);
        free(context->identities[i].host);
    }
    free(context->identities);
    free(context->protocols);
    BIO_meth_free(context->method);
    free(context);
}
