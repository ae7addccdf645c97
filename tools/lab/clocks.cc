#include "tools/lab/clocks.hh"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "tools/linkem/netns.hh"

namespace qanat::lab {
namespace {

std::string file_of(const std::string& lab_folder, const std::string& daemon) {
  return lab_folder + "/clock/" + daemon;
}

}  // namespace

std::vector<std::string> clock_environment(const std::string& lab_folder, const std::string& bin,
                                           const std::string& daemon) {
  const std::string shim = bin + "/libqanat-lab-clock.so";
  if (access(shim.c_str(), R_OK) != 0) return {};
  std::filesystem::create_directories(lab_folder + "/clock");
  write_clock(lab_folder, daemon, {});
  // A sanitizer's runtime wants to be loaded first, and does not mind one that takes nothing from it.
  const char* asan = std::getenv("ASAN_OPTIONS");
  return {"LD_PRELOAD=" + shim, "QANAT_CLOCK=" + file_of(lab_folder, daemon),
          "ASAN_OPTIONS=" + (asan ? std::string(asan) + ":" : std::string()) + "verify_asan_link_order=0"};
}

void write_clock(const std::string& lab_folder, const std::string& daemon, base::Duration offset) {
  const std::string file = file_of(lab_folder, daemon);
  const std::int64_t value = offset.count();
  static_assert(std::is_same_v<base::Duration, std::chrono::nanoseconds>);
  // Written in place: the daemon has it mapped.
  const linkem::Fd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!fd || pwrite(fd.get(), &value, sizeof value, 0) != sizeof value)
    throw std::system_error(errno, std::generic_category(), "set the clock " + file);
}

}  // namespace qanat::lab
