/* How many processors: made-up /proc and /sys trees. */
#include "base/mem.h"
#include "engine/host.c"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

/* Writes root/path and the directories above it. */
static void write_file(const char *root, const char *path, const char *text)
{
    char *full CLEANUP(mem_freep) = mem_format("%s/%s", root, path);
    for (char *slash = full + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        (void)mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "we");
    assert(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static char *new_root(char template[])
{
    char *root = mkdtemp(template);
    assert(root);
    return root;
}

static void remove_root(const char *root)
{
    char *command CLEANUP(mem_freep) = mem_format("rm -rf '%s'", root);
    EXPECT(system(command) == 0);
}

TEST(no_cgroup_means_no_limit)
{
    char *root = new_root((char[]){"/tmp/slipway-host-XXXXXX"});
    EXPECT_INT(cgroup_count(root), UINT32_MAX);
    EXPECT_INT(host_processor_count(root), affinity_count());
    remove_root(root);
}

TEST(version_2_quota_rounds_up)
{
    char *root = new_root((char[]){"/tmp/slipway-host-XXXXXX"});
    write_file(root, "proc/self/cgroup", "0::/a/b\n");
    write_file(root, "sys/fs/cgroup/a/b/cpu.max", "250000 100000\n");
    EXPECT_INT(cgroup_count(root), 3);
    write_file(root, "sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    EXPECT_INT(cgroup_count(root), UINT32_MAX);
    write_file(root, "sys/fs/cgroup/a/b/cpu.max", "5000 100000\n");
    EXPECT_INT(cgroup_count(root), 1);
    EXPECT_INT(host_processor_count(root), 1);
    remove_root(root);
}

TEST(a_group_above_binds_too)
{
    char *root = new_root((char[]){"/tmp/slipway-host-XXXXXX"});
    write_file(root, "proc/self/cgroup", "0::/a/b\n");
    write_file(root, "sys/fs/cgroup/a/b/cpu.max", "800000 100000\n");
    write_file(root, "sys/fs/cgroup/a/cpu.max", "200000 100000\n");
    EXPECT_INT(cgroup_count(root), 2);
    write_file(root, "sys/fs/cgroup/cpu.max", "100000 100000\n");
    EXPECT_INT(cgroup_count(root), 1);
    remove_root(root);
}

TEST(version_1_is_read_from_the_cpu_controller)
{
    char *root = new_root((char[]){"/tmp/slipway-host-XXXXXX"});
    write_file(root, "proc/self/cgroup", "9:memory:/m\n4:cpu,cpuacct:/c\n1:name=systemd:/s\n");
    write_file(root, "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "-1\n");
    write_file(root, "sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    EXPECT_INT(cgroup_count(root), UINT32_MAX);
    write_file(root, "sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "400000\n");
    EXPECT_INT(cgroup_count(root), 4);
    remove_root(root);
}

TEST(nonsense_is_no_limit)
{
    char *root = new_root((char[]){"/tmp/slipway-host-XXXXXX"});
    write_file(root, "proc/self/cgroup", "\n::\n0\n0:\n4:cpu\n0::/x\n");
    write_file(root, "sys/fs/cgroup/x/cpu.max", "99999999999999999999999 100000\n");
    EXPECT_INT(cgroup_count(root), UINT32_MAX);
    write_file(root, "sys/fs/cgroup/x/cpu.max", "100000 0\n");
    EXPECT_INT(cgroup_count(root), UINT32_MAX);
    write_file(root, "sys/fs/cgroup/x/cpu.max", "");
    EXPECT_INT(cgroup_count(root), UINT32_MAX);
    remove_root(root);
}

TEST(the_host_table_is_complete)
{
    const struct slipway_host *offered = engine_host();
    EXPECT_INT(offered->struct_size, sizeof *offered);
    EXPECT_INT(offered->abi_version, SLIPWAY_ENGINE_ABI_VERSION);
    EXPECT(offered->processor_count >= 1);
    EXPECT(offered->server_version != NULL);
    offered->log(99, NULL, NULL); // an engine's mistake must not be ours
}
