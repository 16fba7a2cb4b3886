/* Lookups by name, once each. */
#include "library.h"

#include <climits>
#include <cstdlib>
#include <dlfcn.h>
#include <mutex>

namespace shim
{

/* The shim's own libraries are searched, though they are local to it. */
template <typename Function> static Function *find(const char *name)
{
    return reinterpret_cast<Function *>(dlsym(RTLD_DEFAULT, name));
}

void use_threads(int count) noexcept
{
    static auto *const set = find<void(int)>("omp_set_num_threads");
    thread_local int current = 0;
    if (current == count || !set) return;
    set(count);
    current = count;
}

void raise_blas_threads(int count) noexcept
{
    static auto *const set = find<void(int)>("openblas_set_num_threads");
    static std::mutex lock;
    static int current = 0;
    std::lock_guard<std::mutex> locked(lock);
    if (count <= current) return;
    current = count;
    if (set) set(count);
}

std::string reference_blas()
{
    static const char *const fast[] = {"openblas_get_config",  "MKL_Get_Version",
                                       "mkl_get_version",      "bli_info_get_version_str",
                                       "ATL_buildinfo",        "armpl_get_version",
                                       "nvpl_blas_get_version"};
    void *function = dlsym(RTLD_DEFAULT, "sgemm_");
    Dl_info info;
    if (!function || !dladdr(function, &info) || !info.dli_fname) return "";
    for (const char *name : fast)
        if (dlsym(RTLD_DEFAULT, name)) return "";
    char real[PATH_MAX];
    std::string path = realpath(info.dli_fname, real) ? real : info.dli_fname;
    // what is compiled into libtorch itself is not the system's libblas
    return path.find("libblas") == std::string::npos ? "" : path;
}

} // namespace shim
