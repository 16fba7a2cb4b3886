/* Files of models. */
#include "serve/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REMOVE_DESCRIPTORS = 16 };

bool file_path_is_inside(struct str path)
{
    if (path.size == 0 || path.size >= FILE_PATH_MAX) return false;
    if (memchr(path.data, '\0', path.size) || memchr(path.data, '\\', path.size)) return false;
    struct str rest = path;
    while (rest.data) {
        struct str part = str_cut(&rest, '/');
        if (part.size == 0 || part.size > FILE_COMPONENT_MAX) return false;
        if (str_equal(part, STR(".")) || str_equal(part, STR(".."))) return false;
    }
    return true;
}

static enum status read_all(int descriptor, const char *path, size_t size, struct str *ret_text,
                            struct error *err)
{
    char *text = mem_try_new(size + 1);
    if (!text)
        return fail(err, STATUS_EXHAUSTED, "no memory for the %zu bytes of '%s'", size, path);
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(descriptor, text + used, size - used);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break; /* shorter than it was: what is there is the file */
        used += (size_t)got;
    }
    text[used] = '\0';
    *ret_text = (struct str){text, used};
    return STATUS_OK;
}

enum status file_read(const char *path, size_t size_max, struct str *ret_text, struct error *err)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return fail_errno(err, errno, "opening '%s'", path);
    struct stat about;
    enum status status = STATUS_OK;
    if (fstat(descriptor, &about) != 0)
        status = fail_errno(err, errno, "looking at '%s'", path);
    else if (!S_ISREG(about.st_mode))
        status = fail(err, STATUS_INVALID_ARGUMENT, "'%s' is not a file", path);
    else if ((uint64_t)about.st_size > size_max)
        status = fail(err, STATUS_INVALID_ARGUMENT, "'%s' has %lld bytes, at most %zu are allowed",
                      path, (long long)about.st_size, size_max);
    else
        status = read_all(descriptor, path, (size_t)about.st_size, ret_text, err);
    (void)close(descriptor);
    return status;
}

enum status file_read_inside(const char *directory, const char *name, size_t size_max,
                             struct str *ret_text, struct error *err)
{
    if (!file_path_is_inside(str_of(name)))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%s' must name a file inside the model's directory", name);
    char *path CLEANUP(mem_freep) = mem_format("%s/%s", directory, name);
    return file_read(path, size_max, ret_text, err);
}

/* The directories of a path, one after another. */
static enum status make_parents(char *path, size_t from, struct error *err)
{
    for (size_t i = from; path[i]; i++) {
        if (path[i] != '/') continue;
        path[i] = '\0';
        int result = mkdir(path, 0700);
        int problem = errno;
        if (result != 0 && problem != EEXIST)
            return fail_errno(err, problem, "making directory '%s'", path);
        path[i] = '/';
    }
    return STATUS_OK;
}

static enum status write_all(int descriptor, const char *path, struct str content,
                             struct error *err)
{
    while (content.size > 0) {
        ssize_t wrote = write(descriptor, content.data, content.size);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote < 0) return fail_errno(err, errno, "writing '%s'", path);
        content = str_from(content, (size_t)wrote);
    }
    return STATUS_OK;
}

enum status file_write_inside(const char *directory, struct str name, struct str content,
                              struct error *err)
{
    if (!file_path_is_inside(name))
        return fail(err, STATUS_INVALID_ARGUMENT,
                    "'%.*s' must name a file inside the model's directory",
                    (int)MIN(name.size, (size_t)128), name.data);
    char *path CLEANUP(mem_freep) = mem_format("%s/%.*s", directory, STR_ARGS(name));
    TRY(make_parents(path, strlen(directory) + 1, err));
    int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (descriptor < 0) return fail_errno(err, errno, "making '%s'", path);
    enum status status = write_all(descriptor, path, content, err);
    if (close(descriptor) != 0 && status == STATUS_OK)
        status = fail_errno(err, errno, "writing '%s'", path);
    return status;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)about, (void)kind, (void)place;
    (void)remove(path); /* the rest is still tried */
    return 0;
}

void file_remove_tree(const char *directory)
{
    (void)nftw(directory, remove_one, REMOVE_DESCRIPTORS, FTW_DEPTH | FTW_PHYS);
}
