/*
 * How long a server takes from exec to its first 200 on a path, and what memory it holds then.
 *
 *   start_probe PORT PATH COMMAND [ARGUMENT...]
 *
 * Asks again 0.1 ms after it was refused. Prints: milliseconds  resident_KiB. Ends
 * the command with SIGTERM.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { GIVE_UP_SECONDS = 60 };

static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

/* 1 if the path answers 200. */
static int ask(uint16_t port, const char *path)
{
    char request[1024], answer[1024];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int length = snprintf(request, sizeof request,
                          "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    int good = 0;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, (size_t)length, MSG_NOSIGNAL) == length) {
        ssize_t size = recv(fd, answer, sizeof answer, 0);
        good = size > 12 && memcmp(answer + 9, "200", 3) == 0;
    }
    close(fd);
    return good;
}

static long resident_kib(pid_t pid)
{
    char path[64], line[256];
    long value = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file)) sscanf(line, "VmRSS: %ld", &value);
    if (file) fclose(file);
    return value;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: start_probe PORT PATH COMMAND [ARGUMENT...]\n");
        return 2;
    }
    uint16_t port = (uint16_t)strtoul(argv[1], NULL, 10);
    double start = now_ms();
    pid_t pid = fork();
    if (pid == 0) {
        execvp(argv[3], argv + 3);
        perror(argv[3]);
        _exit(127);
    }
    int good = 0;
    while (!good && now_ms() - start < GIVE_UP_SECONDS * 1e3 && waitpid(pid, NULL, WNOHANG) == 0) {
        struct timespec pause = {0, 100000};
        good = ask(port, argv[2]);
        if (!good) nanosleep(&pause, NULL);
    }
    double elapsed = now_ms() - start;
    if (good) printf("%.1f %ld\n", elapsed, resident_kib(pid));
    kill(pid, SIGTERM);
    waitpid(pid, NULL, 0);
    return good ? 0 : 1;
}
