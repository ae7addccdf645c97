// EmulatedLinks: planes between two namespaces, carried by one linkem, for tests that need a bottleneck or a fault. Plane p
// has 10.p.0.1 at the first and 10.p.0.2 at the second, as the Overlay's nodes 1 and 2.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/e2e/linkem/linkem_process.hh"
#include "tests/support/namespaces.hh"

namespace qanat::test {

class EmulatedLinks {
 public:
  // Why there can be none here; empty when there can.
  static std::string missing() {
    if (const std::string why = namespaces_missing(); !why.empty()) return why;
    return ::access(linkem::linkem_path().c_str(), X_OK) == 0 ? "" : "needs " + linkem::linkem_path();
  }

  // `specs`: what linkem(1) does to each plane, in both directions.
  EmulatedLinks(const std::string& a, const std::string& b, const std::vector<std::string>& specs) {
    std::string file = "seed = 1\n";
    for (std::size_t i = 0; i < specs.size(); ++i) {
      const std::string p = std::to_string(i + 1);
      const auto end = [&](const std::string& netns, const char* mine, const char* theirs) {
        return "{ netns = \"" + netns + "\", device = \"p" + p + "\", addresses = [\"10." + p + ".0." + mine +
               "/32\"], routes = [\"10." + p + ".0." + theirs + "/32\"] }\n";
      };
      file += "[[link]]\nname = \"p" + p + "\"\nup = \"" + specs[i] + "\"\ndown = \"" + specs[i] +
              "\"\na = " + end(a, "1", "2") + "b = " + end(b, "2", "1");
    }
    const std::string links = folder_.write("links.toml", file);
    linkem_ = std::make_unique<linkem::Linkem>(
        std::vector<std::string>{"serve", "--socket", socket(), "--links", links}, folder_.path + "/log");
    const std::string ask = "curl -sf --unix-socket " + socket() + " http://l/v1/links >/dev/null";
    for (int i = 0; std::system(ask.c_str()) != 0; ++i) {
      if (i == 200)
        throw std::runtime_error("linkem does not answer: " + linkem::read_text(folder_.path + "/log"));
      std::this_thread::sleep_for(std::chrono::milliseconds{50});
    }
  }

  // ITEMS of linkem(1), in one direction or both.
  void set(int plane, const std::string& direction, const std::string& items) {
    run("curl -sf --unix-socket " + socket() + " http://l/v1/links/p" + std::to_string(plane) +
        " -X PATCH -d '{\"" + direction + "\":\"" + items + "\"}' >/dev/null");
  }

 private:
  std::string socket() const { return folder_.path + "/linkem.sock"; }
  linkem::Folder folder_;
  std::unique_ptr<linkem::Linkem> linkem_;
};

}  // namespace qanat::test
