#include "server/notify.c"
#include "test.h"

TEST(a_state_arrives_at_the_socket)
{
    char path[] = "/tmp/slipway-notify-XXXXXX";
    REQUIRE(mkdtemp(path) != NULL);
    char name[64];
    (void)snprintf(name, sizeof name, "%s/socket", path);
    struct sockaddr_un address;
    socklen_t size;
    REQUIRE(fill_address(name, &address, &size));
    int listener = socket(AF_UNIX, SOCK_DGRAM, 0);
    REQUIRE(bind(listener, (struct sockaddr *)&address, size) == 0);
    struct error err;
    EXPECT_STATUS(notify_systemd(name, "READY=1", &err), STATUS_OK, err);
    char text[32] = "";
    EXPECT_INT(recv(listener, text, sizeof text - 1, MSG_DONTWAIT), 7);
    EXPECT_TEXT(text, "READY=1");
    close(listener);
    unlink(name);
    rmdir(path);
}

TEST(no_manager_is_no_failure_and_a_wrong_one_is_named)
{
    struct error err;
    EXPECT_STATUS(notify_systemd(NULL, "READY=1", &err), STATUS_OK, err);
    EXPECT_STATUS(notify_systemd("", "READY=1", &err), STATUS_OK, err);
    EXPECT_STATUS(notify_systemd("nonsense", "READY=1", &err), STATUS_INVALID_ARGUMENT, err);
    EXPECT_STATUS(notify_systemd("/nonexistent/socket", "READY=1", &err), STATUS_NOT_FOUND, err);
}
