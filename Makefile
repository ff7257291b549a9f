# What people type; CMake and its presets do the work. `make` leaves build/release/lull.
#
# make install takes PREFIX (default /usr/local) and DESTDIR.

PREFIX ?= /usr/local
preset = $(if $(filter $@,all install),release,$@)

.PHONY: all debug clang asan tsan fuzz check test install clean

all debug clang asan tsan fuzz:
	cmake --preset $(preset) $(if $(filter all,$@),-DCMAKE_INSTALL_PREFIX=$(PREFIX))
	cmake --build --preset $(preset)

test: all
	ctest --preset release

check:
	scripts/check

install: all
	cmake --install build/release

clean:
	rm -rf build
