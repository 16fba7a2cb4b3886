/* What the files of PostgreSQL share: one connection, what its failures mean, when to try again. */
#ifndef DB_POSTGRES_PRIVATE_H
#define DB_POSTGRES_PRIVATE_H

#include "base/rand.h"
#include "db/libpq.h"
#include "db/postgres.h"

#include <pthread.h>

enum {
    POSTGRES_STATEMENTS_MAX = 256, /* of one connection; a power of two */
    POSTGRES_VALUES_MAX = 64,      /* parameters of one statement */
    POSTGRES_RETRY_MS_MIN = 100,
    POSTGRES_RETRY_MS_MAX = 5000,
    POSTGRES_CONNECT_TIMEOUT_S = 10,
    POSTGRES_STATEMENT_TIMEOUT_MS = 60 * 1000,
    /* A process that hangs inside a transaction, or is cut off in it, loses its connection, and so
     * its locks: until then the queues that it was at stand still for all. */
    POSTGRES_IDLE_TRANSACTION_TIMEOUT_MS = 10 * 1000,
    /* A host that is gone without a word: how long what was sent may stay unacknowledged. */
    POSTGRES_TCP_TIMEOUT_MS = 15 * 1000,
    POSTGRES_CHANNELS_MAX = 8,
    POSTGRES_NOTICES_MAX = 16, /* of one transaction; beyond that one for all */
    POSTGRES_PAYLOAD_MAX = 80,
};

/* Growing pauses with chance in them, so that many do not come back at the same moment. */
struct postgres_pause {
    struct prng prng;
    uint32_t failures;
    uint64_t until_ns; /* not before; 0: at once */
};

void postgres_pause_init(struct postgres_pause *pause);
void postgres_pause_failed(struct postgres_pause *pause, uint64_t now_ns);
void postgres_pause_succeeded(struct postgres_pause *pause);

struct postgres_statement {
    const char *sql; /* its address is its identity */
    char name[12];
};

struct postgres_notice {
    const char *channel; /* a literal */
    char payload[POSTGRES_PAYLOAD_MAX + 1];
};

/* Where to connect: the state of a struct database. */
struct postgres_listener;
struct postgres_server {
    PQconninfoOption *options; /* as the connection string says, the password among them */
    char *label;               /* "user@host:port/name", for messages */
    struct postgres_listener *listener;
    _Atomic uint64_t last_ms; /* the newest time told, see postgres_now_ms */
    /* Processes of the server that serve our sessions, 0: a free place. */
    _Atomic int backends[DATABASE_WRITERS_MAX + DATABASE_READERS_MAX];
};

/* Whether a notice comes from a session of this struct database. */
bool postgres_is_own(const struct postgres_server *server, int backend);

/* One connection of one thread. */
struct postgres {
    struct postgres_server *server;
    PGconn *handle; /* NULL: lost */
    bool reads;
    struct postgres_pause pause;
    struct postgres_statement statements[POSTGRES_STATEMENTS_MAX];
    uint32_t statement_count;
    uint64_t now_ms; /* the server's clock as the transaction began */
    struct postgres_hook *hooks;
    int count_slot; /* of postgres_count, from 1; 0: none yet */
    struct postgres_notice notices[POSTGRES_NOTICES_MAX]; /* to be sent with the commit */
    size_t notice_count;
};

struct postgres_result {
    PGresult *raw;
};

/* Reads the connection string; INVALID_ARGUMENT without quoting it. */
enum status postgres_server_new(const char *connection_string, struct postgres_server **ret_server,
                                struct error *err) FALLIBLE;
void postgres_server_free(struct postgres_server *server);

enum status postgres_connect(struct postgres_server *server, bool writes, PGconn **ret_handle,
                             struct error *err) FALLIBLE;

/* The session's own connection, which postgres_is_own knows. */
enum status postgres_session_connect(struct postgres *postgres, struct error *err) FALLIBLE;

/* A new connection in the place of one that was lost; UNAVAILABLE at once while a pause lasts. */
enum status postgres_reconnect(struct postgres *postgres, struct error *err) FALLIBLE;
void postgres_disconnect(struct postgres *postgres);

/* What a result means: OK, or its failure in words. `raw` NULL: the connection's. */
enum status postgres_check(const struct postgres_server *server, PGconn *handle,
                           const PGresult *raw, struct error *err) FALLIBLE;

void postgres_listener_free(struct postgres_listener *listener);

#endif
