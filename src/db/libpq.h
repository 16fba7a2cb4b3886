/*
 * PostgreSQL's client library, opened when the first database of that kind is: see base/library.h.
 * Include this in place of <libpq-fe.h>, call libpq_load once, then call the functions as usual.
 */
#ifndef DB_LIBPQ_H
#define DB_LIBPQ_H

#include "base/library.h"

#include <libpq-fe.h>

#define LIBPQ_FUNCTIONS(X)                                                                         \
    X(PQbackendPID)                                                                                \
    X(PQclear)                                                                                     \
    X(PQcmdStatus)                                                                                 \
    X(PQcmdTuples)                                                                                 \
    X(PQconnectStartParams)                                                                        \
    X(PQconninfoFree)                                                                              \
    X(PQconninfoParse)                                                                             \
    X(PQconsumeInput)                                                                              \
    X(PQerrorMessage)                                                                              \
    X(PQescapeIdentifier)                                                                          \
    X(PQexec)                                                                                      \
    X(PQexecPrepared)                                                                              \
    X(PQfinish)                                                                                    \
    X(PQfreemem)                                                                                   \
    X(PQgetisnull)                                                                                 \
    X(PQgetlength)                                                                                 \
    X(PQgetvalue)                                                                                  \
    X(PQnotifies)                                                                                  \
    X(PQntuples)                                                                                   \
    X(PQprepare)                                                                                   \
    X(PQreset)                                                                                     \
    X(PQresultErrorField)                                                                          \
    X(PQresultErrorMessage)                                                                        \
    X(PQresultStatus)                                                                              \
    X(PQsetNoticeReceiver)                                                                         \
    X(PQsocket)                                                                                    \
    X(PQstatus)                                                                                    \
    X(PQtransactionStatus)

struct libpq {
    LIBRARY_MEMBERS(LIBPQ_FUNCTIONS)
};

/* Valid once libpq_load has succeeded. */
extern struct libpq libpq;

/* Any thread, as often as one likes. FAILED_PRECONDITION: the library is not installed. */
enum status libpq_load(struct error *err) FALLIBLE;

/* The table's own file needs the plain names. */
#ifndef LIBPQ_PLAIN_NAMES
#define PQbackendPID libpq.PQbackendPID
#define PQclear libpq.PQclear
#define PQcmdStatus libpq.PQcmdStatus
#define PQcmdTuples libpq.PQcmdTuples
#define PQconnectStartParams libpq.PQconnectStartParams
#define PQconninfoFree libpq.PQconninfoFree
#define PQconninfoParse libpq.PQconninfoParse
#define PQconsumeInput libpq.PQconsumeInput
#define PQerrorMessage libpq.PQerrorMessage
#define PQescapeIdentifier libpq.PQescapeIdentifier
#define PQexec libpq.PQexec
#define PQexecPrepared libpq.PQexecPrepared
#define PQfinish libpq.PQfinish
#define PQfreemem libpq.PQfreemem
#define PQgetisnull libpq.PQgetisnull
#define PQgetlength libpq.PQgetlength
#define PQgetvalue libpq.PQgetvalue
#define PQnotifies libpq.PQnotifies
#define PQntuples libpq.PQntuples
#define PQprepare libpq.PQprepare
#define PQreset libpq.PQreset
#define PQresultErrorField libpq.PQresultErrorField
#define PQresultErrorMessage libpq.PQresultErrorMessage
#define PQresultStatus libpq.PQresultStatus
#define PQsetNoticeReceiver libpq.PQsetNoticeReceiver
#define PQsocket libpq.PQsocket
#define PQstatus libpq.PQstatus
#define PQtransactionStatus libpq.PQtransactionStatus
#endif

#endif
