#include "tests/support/namespaces.hh"

#include <unistd.h>

#include <cstdlib>
#include <stdexcept>

namespace qanat::test {

std::string namespaces_missing() {
  if (::geteuid() != 0) return "needs root for network namespaces";
  if (::access("/dev/net/tun", R_OK | W_OK) != 0) return "needs /dev/net/tun";
  if (std::system("ip -V >/dev/null 2>&1") != 0) return "needs iproute2";
  const std::string probe = "qt" + std::to_string(::getpid()) + "-probe";
  if (std::system(("ip netns add " + probe + " 2>/dev/null").c_str()) != 0)
    return "may not make network namespaces";
  run("ip netns del " + probe);
  return {};
}

void run(const std::string& command) {
  if (std::system(command.c_str()) != 0) throw std::runtime_error("failed: " + command);
}

Namespaces::~Namespaces() {
  for (const auto& name : names_)
    if (std::system(("ip netns del " + name).c_str()) != 0) continue;  // nothing better to do here
}

std::string Namespaces::add(const std::string& name) {
  const std::string full = "qt" + std::to_string(::getpid()) + "-" + name;
  run("ip netns add " + full);
  names_.push_back(full);
  run("ip -n " + full + " link set lo up");
  return full;
}

void Namespaces::join(const std::string& a, const std::string& address_a, const std::string& b,
                      const std::string& address_b, const std::string& device) {
  run("ip link add " + device + " netns " + a + " type veth peer name " + device + " netns " + b);
  run("ip -n " + a + " address add " + address_a + " dev " + device);
  run("ip -n " + b + " address add " + address_b + " dev " + device);
  run("ip -n " + a + " link set " + device + " up");
  run("ip -n " + b + " link set " + device + " up");
}

void Namespaces::set_up(const std::string& netns, const std::string& device, bool up) {
  run("ip -n " + netns + " link set " + device + (up ? " up" : " down"));
}

}  // namespace qanat::test
