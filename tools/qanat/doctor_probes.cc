#include "tools/qanat/doctor_probes.hh"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/config.hh"
#include "base/file.hh"
#include "tools/linkem/netns.hh"

namespace qanat::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::uint64_t kLeastRoom = 16 << 20;  // a state folder holds a few MiB: configurations, keys

std::string reason() { return std::generic_category().message(errno); }

struct Address {
  sockaddr_storage bytes{};
  socklen_t length = 0;
};

std::optional<Address> socket_address(const std::string& host, unsigned port) {
  Address out;
  auto& four = reinterpret_cast<sockaddr_in&>(out.bytes);
  auto& six = reinterpret_cast<sockaddr_in6&>(out.bytes);
  if (inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(static_cast<std::uint16_t>(port));
    out.length = sizeof four;
  } else if (inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) == 1) {
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(static_cast<std::uint16_t>(port));
    out.length = sizeof six;
  } else {
    return std::nullopt;
  }
  return out;
}

// "10.1.0.1:7700", "[fd00::1]:7700".
std::optional<Address> socket_address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return socket_address(host, static_cast<unsigned>(std::strtoul(text.c_str() + colon + 1, nullptr, 10)));
}

// The program that holds a UDP port, by its socket's inode: "nc (4711)"; empty when it cannot be seen.
std::string holder_of(unsigned port) {
  std::string inode;
  for (const char* table : {"/proc/self/net/udp", "/proc/self/net/udp6"}) {
    std::ifstream lines(table);
    for (std::string line; std::getline(lines, line) && inode.empty();) {
      std::istringstream words(line);
      std::vector<std::string> field{std::istream_iterator<std::string>(words), {}};
      if (field.size() > 9 && field[1].ends_with(fmt::format(":{:04X}", port))) inode = field[9];
    }
  }
  if (inode.empty()) return {};
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    if (!std::isdigit(static_cast<unsigned char>(process.path().filename().string()[0]))) continue;
    for (const auto& fd : fs::directory_iterator(process.path() / "fd", ignored))
      if (fs::read_symlink(fd, ignored) == "socket:[" + inode + "]") {
        std::string name;
        std::getline(std::ifstream(process.path() / "comm") >> std::ws, name);
        return fmt::format("{} (process {})", name, process.path().filename().string());
      }
  }
  return {};
}

// What a program says on both its outputs, and its exit status.
int run(const std::vector<std::string>& words, std::string& said) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return 127;
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    execvp(argv[0], argv.data());
    _exit(127);
  }
  close(ends[1]);
  char buffer[4096];
  for (ssize_t n; (n = read(ends[0], buffer, sizeof buffer)) > 0;)
    said.append(buffer, static_cast<std::size_t>(n));
  close(ends[0]);
  int status = 0;
  if (child < 0 || waitpid(child, &status, 0) != child) return 127;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

Finding probe_tun() {
  const linkem::Fd fd(open("/dev/net/tun", O_RDWR | O_CLOEXEC));
  unsigned features = 0;
  if (fd && ioctl(fd.get(), TUNGETFEATURES, &features) == 0)
    return {"tun", Verdict::Good, "/dev/net/tun is there", {}};
  if (fd)
    return {"tun", Verdict::Fault, "no TUN: /dev/net/tun is something else than the kernel's device",
            "give this container or chroot the real one: `--device /dev/net/tun`, or `mknod /dev/net/tun c "
            "10 200`"};
  if (errno == EACCES || errno == EPERM)
    return {"tun", Verdict::Fault, fmt::format("/dev/net/tun: {}", reason()),
            "run as root; the service needs CAP_NET_ADMIN and DeviceAllow=/dev/net/tun"};
  return {"tun", Verdict::Fault, fmt::format("no TUN: /dev/net/tun: {}", reason()),
          "`modprobe tun`; in a container give it the device, `--device /dev/net/tun`"};
}

Finding probe_configuration(const std::string& file, BoxFile& box) {
  std::string text;
  try {
    text = base::read_file(file, 4 << 20);
  } catch (const std::exception& e) {
    return {"configuration", Verdict::Fault, e.what(),
            "join a network: `qanat box invite` on the controller's host; or --config FILE says where it is"};
  }
  base::ConfigReader reader{text, file};
  base::ConfigTable root = reader.root();
  box.state_dir = root.string("state_dir", "");
  box.socket = root.string("socket", "");
  if (auto controller = root.table("controller")) {
    box.controllers = controller->strings("addresses");
    box.join_token_file = controller->string("join_token_file", "");
  }
  for (base::ConfigTable& line : root.tables("line"))
    box.lines.push_back({static_cast<unsigned>(line.integer("plane", {1, 15}, 1)), line.string("address", ""),
                         static_cast<unsigned>(line.integer("port", {1, 65535}, 7700))});
  const fs::path beside = fs::read_symlink("/proc/self/exe").parent_path() / "qanatd";
  std::string said;
  const int status =
      run({fs::exists(beside) ? beside.string() : "qanatd", "--config", file, "--check-config"}, said);
  if (status == 0) return {"configuration", Verdict::Good, fmt::format("{} holds", file), {}};
  if (status == 127)
    return {"configuration", Verdict::Unknown, "qanatd is not installed here", "apt install qanat-box"};
  return {"configuration", Verdict::Fault, said.substr(0, said.find_last_not_of('\n') + 1),
          "every key: qanatd.toml(5), `qanatd --print-sample`"};
}

Finding probe_state(const std::string& folder) {
  if (folder.empty()) return {"state", Verdict::Unknown, "no state_dir is known", {}};
  if (!fs::exists(folder))
    return {
        "state", Verdict::Unknown, fmt::format("{} is not there: qanatd has not started yet", folder), {}};
  const std::string trial = folder + "/doctor";
  const std::string bytes(64 << 10, 'x');
  bool written = false;
  {
    const linkem::Fd fd(open(trial.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    written = fd && write(fd.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
              fsync(fd.get()) == 0;
  }
  const int error = errno;
  unlink(trial.c_str());
  struct statvfs room {};
  const bool known = statvfs(folder.c_str(), &room) == 0;
  const std::uint64_t left = known ? room.f_bavail * room.f_frsize : 0;
  if (!written && error == EROFS)
    return {"state", Verdict::Fault, fmt::format("{} is read-only", folder),
            "`findmnt -T` says what is mounted there; remount it rw, or set another state_dir"};
  if (!written && (error == ENOSPC || error == EDQUOT || (known && left < bytes.size())))
    return {"state", Verdict::Fault, fmt::format("the disk of {} is full", folder),
            "free some: `df -h`; without room neither keys nor configurations are kept over a restart"};
  if (!written)
    return {"state", Verdict::Fault,
            fmt::format("{} cannot be written: {}", folder, std::generic_category().message(error)),
            "it belongs to user qanat, mode 0700"};
  if (known && left < kLeastRoom)
    return {"state", Verdict::Note, fmt::format("{} has {} KiB left", folder, left >> 10),
            "free some: `df -h`"};
  return {"state", Verdict::Good, fmt::format("{} can be written", folder), {}};
}

std::vector<Finding> probe_addresses(const BoxFile& box, bool daemon_answers) {
  std::vector<Finding> out;
  for (const BoxFile::Line& line : box.lines) {
    const auto address = socket_address(line.address, line.port);
    if (!address) continue;  // the configuration's own fault
    const linkem::Fd fd(socket(address->bytes.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (fd && bind(fd.get(), reinterpret_cast<const sockaddr*>(&address->bytes), address->length) == 0)
      continue;
    const std::string name = fmt::format("{} port {}", line.address, line.port);
    if (errno == EADDRINUSE && daemon_answers) continue;  // by qanatd, as it should
    if (errno == EADDRINUSE) {
      const std::string holder = holder_of(line.port);
      out.push_back({"address", Verdict::Fault,
                     fmt::format("in use: UDP {} is taken{}", name, holder.empty() ? "" : " by " + holder),
                     "end that program, or give the line another `port`"});
    } else if (errno == EADDRNOTAVAIL) {
      out.push_back({"address", Verdict::Fault, fmt::format("{} is no address of this host", line.address),
                     "`ip address` shows them; correct [[line]] address"});
    } else {
      out.push_back({"address", Verdict::Fault, fmt::format("UDP {}: {}", name, reason()), "`ip address`"});
    }
  }
  if (out.empty() && !box.lines.empty())
    out.push_back(
        {"address", Verdict::Good, fmt::format("{} lines stand on this host", box.lines.size()), {}});
  return out;
}

KernelPayload kernel_payloads(const std::vector<std::string>& addresses) {
  KernelPayload out;
  for (const std::string& text : addresses) {
    const auto address = socket_address(text);
    if (!address) continue;
    const linkem::Fd fd(socket(address->bytes.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address->bytes), address->length) != 0)
      continue;
    int mtu = 0;
    socklen_t length = sizeof mtu;
    const bool six = address->bytes.ss_family == AF_INET6;
    if (getsockopt(fd.get(), six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_MTU : IP_MTU, &mtu, &length) != 0)
      continue;
    // No search goes past what Ethernet carries.
    out[text] = static_cast<unsigned>(std::min(mtu, 1500)) - (six ? 48u : 28u);
  }
  return out;
}

}  // namespace qanat::cli
