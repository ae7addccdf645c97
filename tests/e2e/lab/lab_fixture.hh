// LabFixture: one lab of daemons for a whole suite of tests, brought up before the first and gone after the last.
#pragma once

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "base/config.hh"
#include "tools/lab/bring_up.hh"
#include "tools/lab/daemon_api.hh"
#include "tools/lab/tear_down.hh"

namespace qanat::lab {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using nlohmann::json;

inline std::string bin() {
  const char* folder = std::getenv("QANAT_BIN");
  return folder ? folder : std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
}

class LabFixture : public testing::Test {
 protected:
  // Of SetUpTestSuite: skips, by name, what this machine cannot run.
  static void bring(const std::string& name, const std::string& topology_text,
                    std::initializer_list<std::string> programs) {
    if (geteuid() != 0) return skip("needs root for network namespaces");
    if (access("/dev/net/tun", R_OK | W_OK) != 0) return skip("needs /dev/net/tun");
    for (const std::string& program : programs)
      if (access(program.c_str(), X_OK) != 0) return skip(program + " is not there");
    base::ConfigReader reader(topology_text, name + ".toml");
    auto root = reader.root();
    const Topology topology = read_topology(root);
    for (const auto& problem : reader.problems()) ADD_FAILURE() << to_string(problem);
    BringUpOptions options;
    options.name = name + "-" + std::to_string(getpid());
    options.bin = bin();
    name_ = options.name;
    try {
      lab_ = std::make_unique<LabState>(bring_up(topology, options));
    } catch (const std::exception& e) {
      failed_ = e.what();
    }
  }
  static void TearDownTestSuite() {
    lab_.reset();
    if (auto state = load(name_)) tear_down(*state);
    skipped_.clear();
    failed_.clear();
  }
  void SetUp() override {
    if (!skipped_.empty()) GTEST_SKIP() << skipped_;
    ASSERT_TRUE(lab_) << "the lab did not come up: " << failed_;
  }

  static Process& process(const std::string& name) {
    Process* found = lab_->process(name);
    if (!found) throw LabError("no process " + name + " in the lab");
    return *found;
  }
  // Our child: waited for until its last thread has gone, and its locks with it.
  static void kill_9(const std::string& name) {
    Process& p = process(name);
    send_signal(p, SIGKILL);
    waitpid(p.pid, nullptr, 0);
  }
  // Polls until it holds; false after `limit`.
  static bool within(Clock::duration limit, const std::function<bool()>& holds) {
    for (const auto end = Clock::now() + limit; Clock::now() < end; std::this_thread::sleep_for(20ms)) {
      try {
        if (holds()) return true;
      } catch (const std::exception&) {  // not reachable yet
      }
    }
    return false;
  }

  static void skip(const std::string& why) { skipped_ = why; }

  static inline std::unique_ptr<LabState> lab_;

 private:
  static inline std::string name_, skipped_, failed_;
};

}  // namespace qanat::lab
