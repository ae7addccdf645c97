#include "tests/e2e/controller/etcd_process.hh"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "base/file.hh"
#include "base/http_client.hh"

namespace qanat::e2e {
namespace {

constexpr const char* kProgram = "/usr/bin/etcd";

}  // namespace

bool EtcdProcess::available() { return access(kProgram, X_OK) == 0; }

EtcdProcess::EtcdProcess() {
  endpoint_ = "http://127.0.0.1:" + std::to_string(support::free_port());
  const std::string peers = "http://127.0.0.1:" + std::to_string(support::free_port());
  const std::string data = folder_.file("data"), log = folder_.file("log"), cluster = "default=" + peers;
  pid_ = fork();
  if (pid_ == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(fd, 1);
    dup2(fd, 2);
    execl(kProgram, kProgram, "--data-dir", data.c_str(), "--listen-client-urls", endpoint_.c_str(),
          "--advertise-client-urls", endpoint_.c_str(), "--listen-peer-urls", peers.c_str(),
          "--initial-advertise-peer-urls", peers.c_str(), "--initial-cluster", cluster.c_str(), nullptr);
    _exit(127);
  }
  for (int i = 0; i < 200; ++i) {
    const auto reply = base::fetch_blocking(endpoint_, {.method = "GET", .target = "/health", .headers = {}});
    if (reply && reply->body.find("true") != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  throw std::runtime_error("etcd does not start: " + base::read_file(log));
}

EtcdProcess::~EtcdProcess() {
  signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void EtcdProcess::signal(int number) const { ::kill(pid_, number); }

}  // namespace qanat::e2e
