#include "bench/failover/witness.hh"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <system_error>

namespace qanat::bench {
namespace {

constexpr std::chrono::milliseconds kEvery{10};
constexpr std::chrono::seconds kMemory{5};

double ms(Witness::Clock::duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

std::string name_of(int thread) {
  std::string name;
  std::getline(std::ifstream("/proc/" + std::to_string(thread) + "/comm"), name);
  return name + '/' + std::to_string(thread);
}

}  // namespace

Witness::Witness(std::vector<int> pids)
    : pids_(std::move(pids)), thread_([this] {
        while (!stop_) {
          Sample next = sample();
          {
            const std::lock_guard lock(mutex_);
            while (!samples_.empty() && next.at - samples_.front().at > kMemory) samples_.pop_front();
            samples_.push_back(std::move(next));
          }
          std::this_thread::sleep_for(kEvery);
        }
      }) {}

Witness::~Witness() {
  stop_ = true;
  thread_.join();
}

Witness::Sample Witness::sample() const {
  Sample out;
  out.at = Clock::now();
  for (const int pid : pids_) {
    std::error_code gone;
    for (const auto& entry :
         std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
      std::ifstream file(entry.path() / "schedstat");
      double ran = 0, waited = 0;  // ns
      if (file >> ran >> waited) out.waited_ms[std::stoi(entry.path().filename())] = waited * 1e-6;
    }
  }
  return out;
}

Witness::Wait Witness::longest_wait(Clock::time_point begin, Clock::time_point end) const {
  const std::lock_guard lock(mutex_);
  Wait most;
  if (samples_.empty()) return most;
  auto first =
      std::partition_point(samples_.begin(), samples_.end(), [&](const Sample& s) { return s.at <= begin; });
  auto last =
      std::partition_point(samples_.begin(), samples_.end(), [&](const Sample& s) { return s.at < end; });
  if (first != samples_.begin()) --first;
  if (last == samples_.end()) --last;
  int thread = 0;
  for (const auto& [id, waited] : last->waited_ms) {
    const auto before = first->waited_ms.find(id);
    if (before == first->waited_ms.end() || waited - before->second <= most.ms) continue;
    most.ms = waited - before->second;
    thread = id;
  }
  if (thread != 0) most.thread = name_of(thread);
  return most;
}

double Witness::longest_pause_ms(Clock::time_point begin, Clock::time_point end) const {
  const std::lock_guard lock(mutex_);
  double most = 0;
  for (std::size_t i = 1; i < samples_.size(); ++i)
    if (samples_[i].at >= begin && samples_[i - 1].at <= end)
      most = std::max(most, ms(samples_[i].at - samples_[i - 1].at - kEvery));
  return most;
}

int server_of(const std::string& socket) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return 0;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  socket.copy(to.sun_path, sizeof to.sun_path - 1);
  ucred who{};
  socklen_t size = sizeof who;
  const bool known = ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 &&
                     ::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0;
  ::close(fd);
  return known ? who.pid : 0;
}

}  // namespace qanat::bench
