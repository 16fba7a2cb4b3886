/* Digests, permissions, archives. */
#include "cli/check_file.h"

#include "base/hash.h"
#include "base/mem.h"
#include "base/num.h"
#include "engine/archive.h"

#include <dirent.h>
#include <sys/stat.h>

enum { FILES_MAX = 1000 /* of one version, for digests */ };

struct file_check {
    const char *subject;
    struct report *report;
    size_t count;
};

static bool is_archive(const char *path)
{
    struct str name = str_of(path);
    return str_ends_with(name, STR(".pt")) || str_ends_with(name, STR(".pth")) ||
           str_ends_with(name, STR(".torchscript"));
}

static void check_permissions(struct file_check *check, const char *path, const struct stat *status)
{
    if (status->st_mode & S_IWOTH)
        report_add(check->report, check->subject, "file", VERDICT_WARN,
                   "'%s' may be changed by every user of this machine; chmod o-w", path);
}

static void check_archive(struct file_check *check, const char *path)
{
    struct error err;
    if (archive_check(path, NULL, &err) == STATUS_OK)
        report_add(check->report, check->subject, "file", VERDICT_PASS,
                   "'%s' is a whole TorchScript archive", path);
    else
        report_add(check->report, check->subject, "file", VERDICT_FAIL, "%s", err.message);
}

static void check_one(struct file_check *check, const char *path, const struct stat *status)
{
    uint8_t digest[SHA256_SIZE];
    char text[SHA256_HEX_SIZE];
    struct error err;
    if (++check->count > FILES_MAX) return;
    check_permissions(check, path, status);
    if (sha256_of_file(path, digest, &err) != STATUS_OK) {
        report_add(check->report, check->subject, "file", VERDICT_FAIL, "%s", err.message);
        return;
    }
    sha256_hex(digest, text);
    report_add(check->report, check->subject, "digest", VERDICT_INFO, "sha256:%s %s (%llu bytes)",
               text, path, (unsigned long long)status->st_size);
    if (is_archive(path)) check_archive(check, path);
}

/* The regular files of one version's directory; engines with deeper trees check their own. */
static void check_version(struct file_check *check, const char *directory)
{
    DIR *entries = opendir(directory);
    if (!entries) return;
    for (struct dirent *entry; (entry = readdir(entries));) {
        if (entry->d_name[0] == '.') continue;
        char *path CLEANUP(mem_freep) = mem_format("%s/%s", directory, entry->d_name);
        struct stat status;
        if (stat(path, &status) == 0 && S_ISREG(status.st_mode)) check_one(check, path, &status);
    }
    closedir(entries);
}

void check_files(const char *path, const char *directory, const char *subject,
                 struct report *report)
{
    struct file_check check = {.subject = subject, .report = report};
    struct stat status;
    if (stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
        check_one(&check, path, &status);
        return;
    }
    DIR *entries = opendir(directory);
    if (!entries) return; /* the load says why */
    for (struct dirent *entry; (entry = readdir(entries));) {
        uint64_t version;
        if (!num_read_u64(str_of(entry->d_name), &version)) continue;
        char *inside CLEANUP(mem_freep) = mem_format("%s/%s", directory, entry->d_name);
        check_version(&check, inside);
    }
    closedir(entries);
}
