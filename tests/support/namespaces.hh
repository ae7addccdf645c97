// Namespaces: network namespaces and veth pairs for one test, named after its pid and gone with it.
#pragma once

#include <string>
#include <vector>

namespace qanat::test {

// Why namespaces or TUNs cannot be made here; empty when they can. For GTEST_SKIP.
std::string namespaces_missing();

class Namespaces {
 public:
  Namespaces() = default;
  ~Namespaces();
  Namespaces(const Namespaces&) = delete;
  Namespaces& operator=(const Namespaces&) = delete;

  // A namespace with its loopback up; returns its full name, "qt<pid>-<name>".
  std::string add(const std::string& name);
  // Joins two of them: a device of this name on both sides, with these addresses ("10.1.0.1/16").
  void join(const std::string& a, const std::string& address_a, const std::string& b,
            const std::string& address_b, const std::string& device);
  void set_up(const std::string& netns, const std::string& device, bool up);

 private:
  std::vector<std::string> names_;
};

// Runs a command; throws std::runtime_error with it when it fails.
void run(const std::string& command);

}  // namespace qanat::test
