/*
 * failure.c - what OpenSSL's errors mean, in words.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "openssl.h"

/* ---- certificates ------------------------------------------------------- */

static void write_date(const ASN1_TIME *time, char *text, size_t size) {
    time_t seconds = (time_t)tls_seconds(time);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &parts);
}

/* Keeps OpenSSL's verdict, and notes about whom it is. */
int tls_verified(int ok, X509_STORE_CTX *store) {
    SSL *ssl =
        X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    tls_culprit *culprit = &tls_connection_of(ssl)->culprit;
    const X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    if (ok || culprit->error != 0)
        return ok;
    culprit->error = X509_STORE_CTX_get_error(store);
    if (certificate == NULL)
        return ok;
    tls_write_name(X509_get_subject_name(certificate), culprit->subject,
                   sizeof(culprit->subject));
    tls_write_name(X509_get_issuer_name(certificate), culprit->issuer,
                   sizeof(culprit->issuer));
    tls_write_names(certificate, ", ", culprit->names, sizeof(culprit->names));
    write_date(culprit->error == X509_V_ERR_CERT_NOT_YET_VALID
                   ? X509_get0_notBefore(certificate)
                   : X509_get0_notAfter(certificate),
               culprit->date, sizeof(culprit->date));
    return ok;
}

static const char *reason_of(int error) {
    switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return "expired";
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "not-yet-valid";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return "self-signed";
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "unknown-issuer";
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "hostname";
    case X509_V_ERR_INVALID_PURPOSE:
        return "purpose";
    default:
        return "invalid";
    }
}

/* "the certificate of the peer (CN=a.org) " and what is wrong with it. */
static void write_verdict(const tls_connection *c, const char *reason,
                          char *text, size_t size) {
    const tls_culprit *culprit = &c->culprit;
    if (strcmp(reason, "expired") == 0)
        snprintf(text, size, "expired on %s", culprit->date);
    else if (strcmp(reason, "not-yet-valid") == 0)
        snprintf(text, size, "is not valid before %s", culprit->date);
    else if (strcmp(reason, "self-signed") == 0)
        snprintf(text, size,
                 "is self-signed, and not among those that are trusted");
    else if (strcmp(reason, "unknown-issuer") == 0)
        snprintf(text, size, "is issued by \"%s\", which is not trusted",
                 culprit->issuer);
    else if (strcmp(reason, "hostname") == 0)
        snprintf(text, size, "is not for \"%.120s\" but for %.150s",
                 c->hostname,
                 culprit->names[0] != '\0' ? culprit->names : "no name at all");
    else
        snprintf(text, size, "is refused: %s",
                 X509_verify_cert_error_string(culprit->error));
}

void tls_explain_certificate(const tls_connection *c,
                             ahost__tls_failure *failure) {
    const char *reason = reason_of(c->culprit.error);
    char verdict[320]; /* room for a name and what is wrong with it */
    failure->is_certificate = 1;
    snprintf(failure->reason, sizeof(failure->reason), "%s", reason);
    write_verdict(c, reason, verdict, sizeof(verdict));
    snprintf(failure->text, sizeof(failure->text),
             "the certificate \"%.120s\" %s", c->culprit.subject, verdict);
}

/* ---- the protocol ------------------------------------------------------- */

static const struct {
    int code;
    const char *reason, *text;
} protocol_errors[] = {
    {SSL_R_HTTP_REQUEST, "http", "the peer speaks plain HTTP to a TLS port"},
    {SSL_R_HTTPS_PROXY_REQUEST, "http",
     "the peer speaks to a plain HTTP proxy here"},
    {SSL_R_WRONG_VERSION_NUMBER, "not-tls", "the peer does not speak TLS"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "not-tls", "the peer does not speak TLS"},
    {SSL_R_UNEXPECTED_MESSAGE, "not-tls",
     "the peer sends what is not due in TLS"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "version",
     "the peer speaks no version of TLS that is allowed here (min_version)"},
    {SSL_R_VERSION_TOO_LOW, "version",
     "the peer speaks no version of TLS that is allowed here (min_version)"},
    {SSL_R_NO_SHARED_CIPHER, "cipher", "no cipher that both sides know"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "alpn",
     "no application protocol (ALPN) that both sides speak"},
    {SSL_R_CALLBACK_FAILED, "server-name",
     "there is no certificate for the name that the client asks for"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION, "version",
     "the peer speaks none of the versions of TLS that are allowed here"},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME, "server-name",
     "the server has no certificate for this name"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "alpn",
     "the peer speaks none of these application protocols (ALPN)"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, "certificate-required",
     "the server wants a certificate of the client (cert, key)"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "record",
     "a record was changed on its way, or is none"},
    {SSL_R_BAD_RECORD_TYPE, "record", "a record of no known type"},
};

enum { PROTOCOL_ERRORS = sizeof(protocol_errors) / sizeof(protocol_errors[0]) };

static void set_failure(ahost__tls_failure *failure, const char *reason,
                        const char *text) {
    snprintf(failure->reason, sizeof(failure->reason), "%s", reason);
    snprintf(failure->text, sizeof(failure->text), "%s", text);
}

static int explain_known(unsigned long error, ahost__tls_failure *failure) {
    int code = ERR_GET_REASON(error);
    if (ERR_GET_LIB(error) != ERR_LIB_SSL)
        return 0;
    for (int i = 0; i < PROTOCOL_ERRORS; i++)
        if (protocol_errors[i].code == code) {
            set_failure(failure, protocol_errors[i].reason,
                        protocol_errors[i].text);
            return 1;
        }
    return 0;
}

/* An alert that the peer has sent, or whatever else OpenSSL says. */
static void explain_other(unsigned long error, ahost__tls_failure *failure) {
    const char *text = ERR_reason_error_string(error);
    int alert = ERR_GET_LIB(error) == ERR_LIB_SSL &&
                ERR_GET_REASON(error) > SSL_AD_REASON_OFFSET;
    char sentence[256];
    snprintf(sentence, sizeof(sentence), "%s%s",
             alert ? "the peer broke off: " : "",
             text != NULL ? text : "unexpected end of the connection");
    set_failure(failure, alert ? "alert" : "protocol", sentence);
}

void tls_explain(tls_connection *c, ahost__tls_failure *failure) {
    unsigned long error = ERR_get_error();
    *failure = (ahost__tls_failure){0};
    if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
        ERR_GET_REASON(error) == SSL_R_CERTIFICATE_VERIFY_FAILED &&
        c->culprit.error != 0) {
        tls_explain_certificate(c, failure);
    } else if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
               ERR_GET_REASON(error) ==
                   SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
        set_failure(failure, "missing", "the client shows no certificate");
        failure->is_certificate = 1;
    } else if (!explain_known(error, failure)) {
        explain_other(error, failure);
    }
    ERR_clear_error();
}

/* ---- settings ----------------------------------------------------------- */

static int is(unsigned long error, int library, int reason) {
    return ERR_GET_LIB(error) == library && ERR_GET_REASON(error) == reason;
}

static const char *setting_text(unsigned long error) {
    const char *text = ERR_reason_error_string(error);
    if (is(error, ERR_LIB_PEM, PEM_R_NO_START_LINE))
        return "there is nothing of the kind in it, in PEM";
    if (is(error, ERR_LIB_PEM, PEM_R_BAD_PASSWORD_READ))
        return "the key is encrypted: option 'password' is needed";
    if (is(error, ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH))
        return "it is not the key of the certificate";
    return text != NULL ? text : "out of memory";
}

void tls_explain_setting(ahost__tls_failure *failure, const char *what) {
    *failure = (ahost__tls_failure){.reason = "setting"};
    snprintf(failure->text, sizeof(failure->text), "%.200s: %s", what,
             setting_text(ERR_peek_last_error()));
    ERR_clear_error();
}
