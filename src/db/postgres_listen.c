/* Notices of PostgreSQL: one thread with a connection of its own, listening to a few channels. */
#include "base/mem.h"
#include "db/postgres_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct channel {
    char *name; /* NULL: free */
    postgres_notice_function *on_notice;
    void *context;
    bool heard; /* LISTEN was said on this connection */
};

struct postgres_listener {
    struct postgres_server *server;
    PGconn *handle; /* the thread's own; NULL: not connected */
    struct postgres_pause pause;
    int wake; /* eventfd */
    pthread_t thread;
    /* Held while a notice is told, so that unlisten waits for it. */
    pthread_mutex_t mutex;
    struct channel channels[POSTGRES_CHANNELS_MAX];
    bool ending;
};

/* --- the thread -------------------------------------------------------------------------------
 */

static bool is_ending(struct postgres_listener *listener)
{
    (void)pthread_mutex_lock(&listener->mutex);
    bool ending = listener->ending;
    (void)pthread_mutex_unlock(&listener->mutex);
    return ending;
}

static void disconnect(struct postgres_listener *listener)
{
    PQfinish(listener->handle);
    listener->handle = NULL;
    (void)pthread_mutex_lock(&listener->mutex);
    for (size_t i = 0; i < POSTGRES_CHANNELS_MAX; i++) listener->channels[i].heard = false;
    (void)pthread_mutex_unlock(&listener->mutex);
}

static bool say_listen(struct postgres_listener *listener, const char *name)
{
    char *quoted = PQescapeIdentifier(listener->handle, name, strlen(name));
    if (!quoted) return false;
    char *sql = mem_format("LISTEN %s", quoted);
    PGresult *raw = PQexec(listener->handle, sql);
    bool done = PQresultStatus(raw) == PGRES_COMMAND_OK;
    PQclear(raw);
    mem_free(sql);
    PQfreemem(quoted);
    return done;
}

/* Listens to the channels that are new on this connection. False: it is lost. */
static bool listen_all(struct postgres_listener *listener)
{
    bool alive = true;
    (void)pthread_mutex_lock(&listener->mutex);
    for (size_t i = 0; i < POSTGRES_CHANNELS_MAX && alive; i++) {
        struct channel *channel = &listener->channels[i];
        if (!channel->name || channel->heard) continue;
        alive = channel->heard = say_listen(listener, channel->name);
        if (alive) channel->on_notice(channel->context, str_of(channel->name), STR_EMPTY);
    }
    (void)pthread_mutex_unlock(&listener->mutex);
    return alive;
}

static void tell(struct postgres_listener *listener, const PGnotify *notice)
{
    if (postgres_is_own(listener->server, notice->be_pid)) return;
    (void)pthread_mutex_lock(&listener->mutex);
    for (size_t i = 0; i < POSTGRES_CHANNELS_MAX; i++) {
        const struct channel *channel = &listener->channels[i];
        if (channel->name && strcmp(channel->name, notice->relname) == 0)
            channel->on_notice(channel->context, str_of(channel->name), str_of(notice->extra));
    }
    (void)pthread_mutex_unlock(&listener->mutex);
}

/* False: the connection is lost. */
static bool read_notices(struct postgres_listener *listener)
{
    if (PQconsumeInput(listener->handle) == 0) return false;
    for (PGnotify *notice; (notice = PQnotifies(listener->handle));) {
        tell(listener, notice);
        PQfreemem(notice);
    }
    return PQstatus(listener->handle) == CONNECTION_OK;
}

/* Waits for the server, for a change of the channels, or until a pause is over. */
static void wait_for_more(struct postgres_listener *listener)
{
    struct pollfd files[2] = {{.fd = listener->wake, .events = POLLIN}, {.fd = -1}};
    int timeout_ms = -1;
    if (listener->handle) {
        files[1] = (struct pollfd){.fd = PQsocket(listener->handle), .events = POLLIN};
    } else {
        uint64_t now_ns = clock_monotonic_ns(), until_ns = listener->pause.until_ns;
        timeout_ms = until_ns > now_ns ? (int)((until_ns - now_ns) / NS_PER_MS) + 1 : 0;
    }
    (void)poll(files, COUNT_OF(files), timeout_ms);
    uint64_t count;
    if (files[0].revents && read(listener->wake, &count, sizeof count) < 0)
        assert(errno == EAGAIN || errno == EINTR);
}

static void connect_again(struct postgres_listener *listener)
{
    struct error err; /* the sessions of the database tell of it */
    uint64_t now_ns = clock_monotonic_ns();
    if (now_ns < listener->pause.until_ns) return;
    if (postgres_connect(listener->server, true, &listener->handle, &err) == STATUS_OK)
        postgres_pause_succeeded(&listener->pause);
    else
        postgres_pause_failed(&listener->pause, clock_monotonic_ns());
}

static void *listener_run(void *context)
{
    struct postgres_listener *listener = context;
    while (!is_ending(listener)) {
        if (!listener->handle) connect_again(listener);
        if (listener->handle && !(listen_all(listener) && read_notices(listener))) {
            disconnect(listener);
            continue;
        }
        wait_for_more(listener);
    }
    disconnect(listener);
    return NULL;
}

/* --- life -------------------------------------------------------------------------------------
 */

static void wake(struct postgres_listener *listener)
{
    uint64_t one = 1;
    if (write(listener->wake, &one, sizeof one) < 0) assert(errno == EAGAIN);
}

static void listener_clear(struct postgres_listener *listener)
{
    for (size_t i = 0; i < POSTGRES_CHANNELS_MAX; i++) mem_free(listener->channels[i].name);
    (void)pthread_mutex_destroy(&listener->mutex);
    close(listener->wake);
    mem_free(listener);
}

static enum status listener_new(struct postgres_server *server, struct error *err)
{
    int wake_file = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake_file < 0) return fail_errno(err, errno, "starting the thread for notices");
    struct postgres_listener *listener = MEM_NEW(struct postgres_listener);
    listener->server = server;
    listener->wake = wake_file;
    postgres_pause_init(&listener->pause);
    (void)pthread_mutex_init(&listener->mutex, NULL);
    int problem = pthread_create(&listener->thread, NULL, listener_run, listener);
    if (problem != 0) {
        listener_clear(listener);
        return fail_errno(err, problem, "starting the thread for notices");
    }
    server->listener = listener;
    return STATUS_OK;
}

void postgres_listener_free(struct postgres_listener *listener)
{
    if (!listener) return;
    (void)pthread_mutex_lock(&listener->mutex);
    listener->ending = true;
    (void)pthread_mutex_unlock(&listener->mutex);
    wake(listener);
    (void)pthread_join(listener->thread, NULL);
    listener_clear(listener);
}

static struct channel *channel_find(struct postgres_listener *listener, const char *name)
{
    for (size_t i = 0; i < POSTGRES_CHANNELS_MAX; i++) {
        struct channel *channel = &listener->channels[i];
        if (name ? channel->name && strcmp(channel->name, name) == 0 : !channel->name)
            return channel;
    }
    return NULL;
}

enum status postgres_listen(struct database *database, const char *channel_name,
                            postgres_notice_function *on_notice, void *context, struct error *err)
{
    struct postgres_server *server = database_state(database);
    if (!server->listener) TRY(listener_new(server, err));
    struct postgres_listener *listener = server->listener;
    (void)pthread_mutex_lock(&listener->mutex);
    struct channel *channel =
        channel_find(listener, channel_name) ? NULL : channel_find(listener, NULL);
    if (channel)
        *channel = (struct channel){mem_copy_text(channel_name), on_notice, context, false};
    (void)pthread_mutex_unlock(&listener->mutex);
    if (!channel)
        return fail(err, STATUS_EXHAUSTED, "channel '%s' has a listener, or there are %d already",
                    channel_name, POSTGRES_CHANNELS_MAX);
    wake(listener);
    return STATUS_OK;
}

void postgres_unlisten(struct database *database, const char *channel_name)
{
    struct postgres_server *server = database_state(database);
    struct postgres_listener *listener = server->listener;
    if (!listener) return;
    (void)pthread_mutex_lock(&listener->mutex);
    struct channel *channel = channel_find(listener, channel_name);
    if (channel) {
        mem_free(channel->name);
        /* The connection goes on listening; what comes for nobody is dropped. */
        *channel = (struct channel){0};
    }
    (void)pthread_mutex_unlock(&listener->mutex);
}
