/* Credentials and a client. */
#include "aws/service.h"

enum status aws_service_open(const char *name, const char *region, struct aws_service *ret_service,
                             struct error *err)
{
    struct aws_service service = {0};
    TRY(client_web_start(err));
    TRY(aws_credentials_new(&(struct aws_credentials_options){0}, &service.credentials, err));
    const struct aws_client_options options = {
        .service = name, .region = region, .credentials = service.credentials};
    enum status status = aws_client_new(&options, &service.client, err);
    if (status != STATUS_OK) {
        aws_service_close(&service);
        return status;
    }
    *ret_service = service;
    return STATUS_OK;
}

void aws_service_close(struct aws_service *service)
{
    aws_client_free(service->client);
    aws_credentials_free(service->credentials);
    *service = (struct aws_service){0};
}
