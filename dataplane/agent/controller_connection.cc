#include "dataplane/agent/controller_connection.hh"

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <charconv>
#include <deque>
#include <optional>

#include "identifiers/proto/framing.hh"

namespace qanat::agent {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

std::optional<tcp::endpoint> parse_address(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view digits = text.substr(colon + 1);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  const auto [end, bad] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (bad != std::errc() || end != digits.data() + digits.size() || port == 0) return std::nullopt;
  error_code error;
  const auto address = asio::ip::make_address(std::string(host), error);
  if (error) return std::nullopt;
  return tcp::endpoint(address, port);
}

// Whether the other host answered at all: its kernel or its TLS.
Loss loss_of(const error_code& error) {
  const bool answered = error == asio::error::eof || error == asio::error::connection_reset ||
                        error == asio::error::connection_refused || error == asio::error::broken_pipe ||
                        error.category() == asio::error::get_ssl_category() ||
                        error.category() == asio::ssl::error::get_stream_category();
  return answered ? Loss::ByPeer : Loss::Silent;
}

}  // namespace

class ControllerConnection::Link : public std::enable_shared_from_this<Link> {
 public:
  Link(asio::io_context& io, const Handlers& handlers, base::TlsContext tls)
      : handlers_(handlers), tls_(std::move(tls)), stream_(io, *tls_), decoder_(proto::kMaxBody) {}

  void open(const std::string& address) {
    const auto endpoint = parse_address(address);
    if (!endpoint) {
      asio::post(stream_.get_executor(),
                 [self = shared_from_this()] { self->fail(Loss::Silent, "is not an address and port"); });
      return;
    }
    stream_.next_layer().async_connect(*endpoint, [self = shared_from_this()](const error_code& error) {
      if (!self->open_) return;
      if (error) return self->fail(error, "connect");
      error_code ignored;
      self->stream_.next_layer().set_option(tcp::no_delay(true), ignored);
      self->stream_.async_handshake(asio::ssl::stream_base::client, [self](const error_code& tls_error) {
        if (!self->open_) return;
        if (tls_error) return self->fail(tls_error, "TLS handshake");
        self->check_peer();
      });
    });
  }

  void send(std::string frame) {
    if (!open_) return;
    pending_ += frame.size();
    queue_.push_back(std::move(frame));
    if (pending_ > kMostPending) {
      asio::post(stream_.get_executor(),
                 [self = shared_from_this()] { self->fail(Loss::Silent, "does not read"); });
    }
    if (queue_.size() == 1) write();
  }

  void close() {
    open_ = false;
    error_code ignored;
    stream_.next_layer().close(ignored);
  }

  std::size_t pending() const { return pending_; }

 private:
  // The CA signs nodes as well; only a controller may answer.
  void check_peer() {
    const auto peer = base::peer_identity(stream_.native_handle());
    if (!peer) return fail(Loss::ByPeer, "shows no certificate that our CA vouches for");
    if (std::find(peer->uris.begin(), peer->uris.end(), "qanat:controller") == peer->uris.end()) {
      return fail(Loss::ByPeer, "shows a certificate that is not a controller's (" + peer->common_name + ")");
    }
    read();
    handlers_.connected();
  }

  void read() {
    stream_.async_read_some(asio::buffer(input_),
                            [self = shared_from_this()](const error_code& error, std::size_t n) {
                              if (!self->open_) return;
                              if (error) return self->fail(error, "read");
                              self->on_bytes({self->input_.data(), n});
                            });
  }

  void on_bytes(std::string_view bytes) {
    decoder_.feed(bytes);
    while (open_) {
      auto body = decoder_.next();
      if (!body) return fail(Loss::ByPeer, "sent a bad frame: " + body.error().message());
      if (!*body) return read();
      auto envelope = proto::parse_envelope(**body);
      if (!envelope) return fail(Loss::ByPeer, "sent a bad message: " + envelope.error().message());
      handlers_.envelope(std::move(*envelope));
    }
  }

  void write() {
    asio::async_write(stream_, asio::buffer(queue_.front()),
                      [self = shared_from_this()](const error_code& error, std::size_t) {
                        if (!self->open_) return;
                        if (error) return self->fail(error, "write");
                        self->pending_ -= self->queue_.front().size();
                        self->queue_.pop_front();
                        if (!self->queue_.empty()) self->write();
                      });
  }

  void fail(const error_code& error, const char* attempt) {
    fail(loss_of(error), std::string(attempt) + ": " + error.message());
  }
  void fail(Loss loss, const std::string& why) {
    if (!open_) return;
    close();
    handlers_.lost(loss, why);
  }

  const Handlers& handlers_;
  base::TlsContext tls_;
  asio::ssl::stream<tcp::socket> stream_;
  proto::FrameDecoder decoder_;
  std::array<char, 16 * 1024> input_{};
  std::deque<std::string> queue_;
  std::size_t pending_ = 0;
  bool open_ = true;
};

ControllerConnection::ControllerConnection(asio::io_context& io, Handlers handlers)
    : io_(io), handlers_(std::move(handlers)) {}

ControllerConnection::~ControllerConnection() { close(); }

void ControllerConnection::open(const std::string& address, base::TlsContext tls) {
  close();
  link_ = std::make_shared<Link>(io_, handlers_, std::move(tls));
  link_->open(address);
}

void ControllerConnection::send(const proto::v1::Envelope& envelope) {
  if (link_) link_->send(proto::encode_frame(envelope));
}

void ControllerConnection::close() {
  if (link_) link_->close();
  link_.reset();
}

std::size_t ControllerConnection::pending() const { return link_ ? link_->pending() : 0; }

}  // namespace qanat::agent
