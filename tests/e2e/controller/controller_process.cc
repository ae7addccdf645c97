#include "tests/e2e/controller/controller_process.hh"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <thread>

#include "base/file.hh"
#include "base/http_client.hh"
#include "controller/session/authority.hh"
#include "controller/session/join_token.hh"
#include "identifiers/proto/framing.hh"

namespace qanat::e2e {

namespace asio = boost::asio;
using asio::ip::tcp;

namespace {

// A port that was free a moment ago.
std::uint16_t free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool bound = bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  close(fd);
  if (!bound) throw std::runtime_error("no free port on loopback");
  return ntohs(address.sin_port);
}

}  // namespace

std::string program(const std::string& name) {
  if (const char* folder = getenv("QANAT_BIN")) return std::string(folder) + "/" + name;
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / name).string();
}

ControllerProcess::ControllerProcess(int domain, const std::string& extra_config, const std::string& state) {
  std::string name = (std::filesystem::temp_directory_path() / "qanat-controller-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a folder for the test");
  folder_ = name;
  port_ = free_port();
  do northbound_ = free_port();
  while (northbound_ == port_);
  base::write_file(folder_ + "/admin", admin_token_ + "\n");
  const std::string role = domain == 0 ? "global" : "domain";
  std::string config = "name = \"" + role + "-" + std::to_string(domain) + "\"\nrole = \"" + role + "\"\n";
  config += "domain = " + std::to_string(domain) + "\nstate = \"" +
            (state.empty() ? folder_ + "/state.db" : state) + "\"\n";
  config += "listen = [\"127.0.0.1:" + std::to_string(port_) + "\"]\nsocket = \"" + folder_ + "/api.sock\"\n";
  config += "northbound = \"127.0.0.1:" + std::to_string(northbound_) + "\"\nadmin_token_file = \"" +
            folder_ + "/admin\"\n";
  base::write_file(folder_ + "/controller.toml", config + extra_config);
  start();
}

ControllerProcess::~ControllerProcess() {
  kill();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

void ControllerProcess::start() {
  const std::string path = program("qanat-controller"), config = folder_ + "/controller.toml",
                    log_file = folder_ + "/log";
  pid_ = fork();
  if (pid_ == 0) {
    const int log_fd = open(log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log_fd, 2);
    execl(path.c_str(), path.c_str(), "--config", config.c_str(), nullptr);
    _exit(127);
  }
  for (int i = 0; i < 200; ++i) {
    if (rest("GET", "/healthz").status == 200) return;
    if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      break;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  throw std::runtime_error(path + " does not start: " + log());
}

void ControllerProcess::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

int ControllerProcess::terminate() {
  int status = 0;
  ::kill(pid_, SIGTERM);
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

Reply ControllerProcess::rest(const std::string& method, const std::string& target,
                              const std::string& body) const {
  base::ClientRequest request{.method = method, .target = target, .headers = {}, .body = body};
  const auto reply = base::fetch_blocking("unix:" + folder_ + "/api.sock", request);
  return reply ? Reply{reply->status, reply->body} : Reply{};
}

std::string ControllerProcess::join_token(const std::string& node, bool relay, int ttl_s) const {
  const auto reply = rest("POST", "/v1/join-tokens",
                          "{\"node\":\"" + node + "\",\"relay\":" + (relay ? "true" : "false") +
                              ",\"ttl_s\":" + std::to_string(ttl_s) + "}");
  const auto at = reply.body.find("q1.");
  if (reply.status != 201 || at == std::string::npos)
    throw std::runtime_error("no join token: " + reply.body);
  return reply.body.substr(at, reply.body.find('"', at) - at);
}

std::string ControllerProcess::log() const { return base::read_file(folder_ + "/log"); }

struct Wire::State {
  explicit State(base::TlsContext t) : tls(std::move(t)), stream(io, *tls), decoder(proto::kMaxBody) {}
  asio::io_context io;
  base::TlsContext tls;
  asio::ssl::stream<tcp::socket> stream;
  proto::FrameDecoder decoder;
};

Wire::Wire(std::uint16_t port, base::TlsContext tls) : state_(std::make_unique<State>(std::move(tls))) {
  state_->stream.next_layer().connect({asio::ip::address_v4::loopback(), port});
  const timeval limit{8, 0};
  setsockopt(state_->stream.next_layer().native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  state_->stream.handshake(asio::ssl::stream_base::client);
}

Wire::~Wire() = default;

void Wire::send(const proto::v1::Envelope& envelope) { send_raw(proto::encode_frame(envelope)); }

void Wire::send_raw(std::string_view bytes) {
  boost::system::error_code ignored;  // the other side may have closed: the next read tells
  asio::write(state_->stream, asio::buffer(bytes), ignored);
}

std::optional<proto::v1::Envelope> Wire::read() {
  for (;;) {
    const auto body = state_->decoder.next();
    if (!body) return std::nullopt;
    if (body->has_value()) {
      auto envelope = proto::parse_envelope(**body);
      return envelope ? std::optional(*envelope) : std::nullopt;
    }
    std::array<char, 4096> buffer{};
    boost::system::error_code error;
    const std::size_t size = state_->stream.read_some(asio::buffer(buffer), error);
    if (error) return std::nullopt;
    state_->decoder.feed({buffer.data(), size});
  }
}

std::string Wire::refusal() {
  while (const auto envelope = read()) {
    if (envelope->has_refusal()) return envelope->refusal().code();
  }
  return "";
}

TestBox::TestBox(std::string called) : name(std::move(called)), key_pem(session::make_private_key()) {}

proto::v1::EnrolRequest TestBox::request(const std::string& token, bool relay) const {
  proto::v1::EnrolRequest r;
  r.set_join_token(token);
  r.set_name(name);
  r.set_csr_der(session::make_request(key_pem, name));
  r.set_x25519_public(session::hash_of(key_pem));  // 32 bytes; nobody shakes hands with them here
  r.set_relay(relay);
  *r.mutable_lines() = hello().hello().lines();
  return r;
}

std::string TestBox::enrol(const ControllerProcess& controller, const std::string& token, bool relay) {
  Wire wire(controller.port(), base::pinned_client_context(session::parse_join_token(token)->ca));
  proto::v1::Envelope envelope;
  *envelope.mutable_enrol() = request(token, relay);
  wire.send(envelope);
  const auto reply = wire.read();
  if (!reply) return "closed";
  if (!reply->has_enrolled()) return reply->refusal().code();
  enrolment = reply->enrolled();
  return "";
}

base::TlsContext TestBox::tls() const {
  return base::client_context(enrolment.ca_pem(), base::TlsIdentity{enrolment.certificate_pem(), key_pem});
}

proto::v1::Envelope TestBox::hello() const {
  proto::v1::Envelope envelope;
  auto& h = *envelope.mutable_hello();
  h.set_protocol(1);
  h.set_node_id(enrolment.node_id());
  h.set_epoch(held.epoch());
  h.set_version(held.version());
  auto& line = *h.add_lines();
  line.set_plane(1);
  line.set_address("127.0.0.1");
  line.set_port(7700);
  return envelope;
}

std::unique_ptr<Wire> TestBox::connect(const ControllerProcess& controller) const {
  auto wire = std::make_unique<Wire>(controller.port(), tls());
  wire->send(hello());
  return wire;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

bool soon(const std::function<bool()>& true_at_last) {
  for (int i = 0; i < 100; ++i) {
    if (true_at_last()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
  }
  return false;
}

bool TestBox::take_delta(Wire& wire) {
  while (const auto envelope = wire.read()) {
    if (!envelope->has_delta()) continue;
    proto::Ed25519Public key{};
    std::copy(enrolment.config_public().begin(), enrolment.config_public().end(), key.begin());
    const auto next = proto::apply_verified(held, envelope->delta(), enrolment.node_id(), key);
    if (!next) return false;
    held = *next;
    proto::v1::Envelope answer;
    answer.mutable_ack()->set_epoch(held.epoch());
    answer.mutable_ack()->set_version(held.version());
    answer.mutable_ack()->set_applied(true);
    wire.send(answer);
    return true;
  }
  return false;
}

}  // namespace qanat::e2e
