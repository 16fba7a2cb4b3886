# What `make install` lays out: bin/slipway, lib/slipway/engines (engines/ sees to those), the header for authors of
# engines, and the man page and completions that the program itself prints.
install(TARGETS slipway RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(FILES include/slipway/engine.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}/slipway")

set(printed "${CMAKE_BINARY_DIR}/generated/install")
file(MAKE_DIRECTORY "${printed}")
function(slipway_prints file directory)
    add_custom_command(OUTPUT "${printed}/${file}" DEPENDS slipway VERBATIM
        COMMAND slipway config ${ARGN} > "${printed}/${file}")
    install(FILES "${printed}/${file}" DESTINATION "${CMAKE_INSTALL_DATADIR}/${directory}")
    set_property(GLOBAL APPEND PROPERTY SLIPWAY_PRINTED "${printed}/${file}")
endfunction()

slipway_prints(slipway.1 man/man1 --man)
slipway_prints(slipway bash-completion/completions --completion bash)
slipway_prints(_slipway zsh/site-functions --completion zsh)
slipway_prints(slipway.fish fish/vendor_completions.d --completion fish)
get_property(printed_files GLOBAL PROPERTY SLIPWAY_PRINTED)
if(NOT SLIPWAY_SANITIZE AND NOT SLIPWAY_COVERAGE)
    add_custom_target(slipway_printed ALL DEPENDS ${printed_files})
endif()
