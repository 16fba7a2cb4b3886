/*
 * A client of one service with credentials of its own: for a call now and then.
 *
 *   struct aws_service sns;
 *   TRY(aws_service_open("sns", NULL, &sns, err));
 *   ... sns.client ...
 *   aws_service_close(&sns);
 *
 * Its client may be used by several threads.
 */
#ifndef AWS_SERVICE_H
#define AWS_SERVICE_H

#include "aws/client.h"

struct aws_service {
    struct aws_credentials *credentials;
    struct aws_client *client;
};

/* `region` NULL: as aws_client_new finds it. Asks nobody yet. After a failure there is nothing to
 * close. */
enum status aws_service_open(const char *name, const char *region, struct aws_service *ret_service,
                             struct error *err) FALLIBLE;
void aws_service_close(struct aws_service *service);

#endif
