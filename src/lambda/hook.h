/*
 * CodeDeploy's life-cycle hook: a new version of a function is tried before it gets traffic, and
 * CodeDeploy is told what came of it.
 *
 *   TRY(lambda_hook_invoke("arn:aws:lambda:eu-west-3:1:function:iris:7", request, timeout_ns,
 *                          arena, &answer, err));
 *   TRY(lambda_hook_report(&(struct lambda_hook){deployment, execution, true}, arena, err));
 *
 * Calls AWS and blocks; the role needs lambda:InvokeFunction on the version and
 * codedeploy:PutLifecycleEventHookExecutionStatus.
 */
#ifndef LAMBDA_HOOK_H
#define LAMBDA_HOOK_H

#include "base/arena.h"

struct lambda_hook {
    struct str deployment;
    struct str execution; /* of the hook */
    bool succeeded;
};

/* Invokes a function by its ARN or name, "NAME:VERSION" included, and waits for its answer, in the
 * arena. FAILED_PRECONDITION: it answered with an error of its own, which is in the message. */
enum status lambda_hook_invoke(const char *function, struct str request, uint64_t timeout_ns,
                               struct arena *arena, struct str *ret_answer,
                               struct error *err) FALLIBLE;

enum status lambda_hook_report(const struct lambda_hook *hook, struct arena *arena,
                               struct error *err) FALLIBLE;

#endif
