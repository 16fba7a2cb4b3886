# What we stand on, as imported targets. tools/setup installs all of it.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(YAML REQUIRED IMPORTED_TARGET yaml-0.1)
pkg_check_modules(ZIP REQUIRED IMPORTED_TARGET libzip)
pkg_check_modules(CURL REQUIRED libcurl)
pkg_check_modules(SQLITE REQUIRED IMPORTED_TARGET sqlite3)
pkg_check_modules(POSTGRES REQUIRED libpq)

# llhttp: a library where the system has one (Debian 13, Ubuntu), its three C files on Debian 12.
pkg_check_modules(LLHTTP QUIET IMPORTED_TARGET libllhttp)
if(LLHTTP_FOUND)
    add_library(llhttp ALIAS PkgConfig::LLHTTP)
else()
    find_path(LLHTTP_SOURCE llhttp.c PATHS /usr/share/llhttp REQUIRED NO_DEFAULT_PATH)
    find_path(LLHTTP_INCLUDE llhttp.h PATHS /usr/share/include/llhttp /usr/share/llhttp REQUIRED
              NO_DEFAULT_PATH)
    add_library(llhttp STATIC ${LLHTTP_SOURCE}/llhttp.c ${LLHTTP_SOURCE}/api.c
                ${LLHTTP_SOURCE}/http.c)
    target_include_directories(llhttp SYSTEM PUBLIC "${LLHTTP_INCLUDE}")
    target_compile_options(llhttp PRIVATE -w)
    # Of its two state machines the one that forgives nothing.
    target_compile_definitions(llhttp PUBLIC LLHTTP_STRICT_MODE=1)
endif()

# Opened at run time by those who need it (base/library.h): linked, its twenty libraries would double the time to start.
add_library(opened_libraries INTERFACE)
target_include_directories(opened_libraries SYSTEM INTERFACE ${POSTGRES_INCLUDE_DIRS} ${CURL_INCLUDE_DIRS})

set(SLIPWAY_CORE_DEPENDENCIES
    llhttp PkgConfig::CRYPTO PkgConfig::YAML PkgConfig::ZIP PkgConfig::SQLITE
    opened_libraries ZLIB::ZLIB Threads::Threads m ${CMAKE_DL_LIBS})
