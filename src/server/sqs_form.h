/*
 * SQS's older protocol, Query: a request as a form. Its answers are the XML that sqs_out.h writes.
 *
 *   Action=SendMessage&QueueUrl=...&MessageBody=x&MessageAttribute.1.Name=a&...
 *
 * Lists and maps are numbered from 1; what is beyond the limits of struct sqs_request is counted or
 * refused as in the newer protocol. Pure.
 */
#ifndef SERVER_SQS_FORM_H
#define SERVER_SQS_FORM_H

#include "server/sqs_request.h"

/* Initialises the request and reads the form; texts lie in the arena. *ret_action is empty if it
 * was not sent. */
enum status sqs_request_read_form(struct str body, struct arena *arena,
                                  struct sqs_request *ret_request, struct str *ret_action,
                                  struct sqs_failure *failure) FALLIBLE;

#endif
