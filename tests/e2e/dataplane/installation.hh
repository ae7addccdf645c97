// Installation: a real qanat-controller and real qanatd, each in a namespace of its own, on two planes that the
// controller's namespace bridges. For what only the whole of it shows: rotation and revocation under traffic.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "tests/support/daemon_process.hh"
#include "tests/support/namespaces.hh"

namespace qanat::test {

class Installation {
 public:
  struct Box {
    std::string name;
    std::vector<int> planes;
    bool relay = false;
    std::map<int, std::string> rates = {};  // of its lines, by plane
  };
  // Enrols every box, puts them all into tenant 100 and starts them. Box i (from 1) is 10.PLANE.0.i and 100.96.i.1.
  explicit Installation(const std::vector<Box>& boxes);
  ~Installation();

  const std::string& netns(const std::string& box) const { return netns_.at(box); }
  std::string address(const std::string& box) const;  // in the tenant
  nlohmann::json controller(const std::string& method, const std::string& target,
                            const std::string& body = {}) const;
  nlohmann::json box(const std::string& name, const std::string& target) const;
  std::uint64_t drops(const std::string& box) const;
  std::string drops_text(const std::string& box) const;
  // Until a packet may go from one to the other; false after 30 s.
  bool wait_for_path(const std::string& from, const std::string& to) const;
  std::string log() const;

  // Why it cannot be had here; empty: it can.
  static std::string missing();

 private:
  void start_controller();
  void start(const Box& box, std::size_t number);

  support::TempFolder folder_{"qanat-installation"};
  Namespaces net_;
  std::string home_;  // the controller's namespace
  std::map<std::string, std::string> netns_;
  std::map<std::string, std::size_t> numbers_;
  std::unique_ptr<support::DaemonProcess> controller_;
  std::map<std::string, std::unique_ptr<support::DaemonProcess>> boxes_;
};

}  // namespace qanat::test
