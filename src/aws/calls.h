/*
 * Single calls: who asks (STS), a notice to a topic (SNS), what became of a task that a workflow
 * waits for (Step Functions).
 *
 *   struct aws_identity identity;
 *   TRY(aws_caller_identity(sts.client, arena, &identity, err));
 *   TRY(aws_publish(sns.client, &(struct aws_notice){topic, subject, message}, err));
 *   TRY(aws_task_tell(states.client, &(struct aws_task){AWS_TASK_SUCCEEDED, token, output}, err));
 *
 * Any thread; they block, and are asked again as aws/client.h says: a notice may come twice.
 */
#ifndef AWS_CALLS_H
#define AWS_CALLS_H

#include "aws/client.h"

enum {
    AWS_NOTICE_SIZE_MAX = 256 * 1024, /* bytes of a message */
    AWS_NOTICE_SUBJECT_MAX = 99,      /* characters */
    AWS_TASK_TOKEN_MAX = 2048,
    AWS_TASK_OUTPUT_MAX = 256 * 1024,
    AWS_TASK_ERROR_MAX = 256,
    AWS_TASK_CAUSE_MAX = 32 * 1024,
};

/* In the arena. */
struct aws_identity {
    struct str arn;
    struct str account;
};

/* Whom AWS takes the keys' owner for. Needs no right. */
enum status aws_caller_identity(struct aws_client *sts, struct arena *arena,
                                struct aws_identity *ret_identity, struct error *err) FALLIBLE;

struct aws_notice {
    struct str topic;   /* ARN */
    struct str subject; /* what is no printable ASCII becomes '?'; cut if it is too long */
    struct str message;
};

enum status aws_publish(struct aws_client *sns, const struct aws_notice *notice,
                        struct error *err) FALLIBLE;

enum aws_task_state { AWS_TASK_SUCCEEDED, AWS_TASK_FAILED, AWS_TASK_GOES_ON };

struct aws_task {
    enum aws_task_state state;
    struct str token;
    struct str output;   /* of success: JSON */
    struct str error;    /* of failure: a name; cut if it is too long */
    struct str cause;    /* of failure: a sentence; cut if it is too long */
    uint64_t timeout_ns; /* 0: the client's */
};

/* INVALID_ARGUMENT also if the workflow waits no longer. */
enum status aws_task_tell(struct aws_client *states, const struct aws_task *task,
                          struct error *err) FALLIBLE;

#endif
