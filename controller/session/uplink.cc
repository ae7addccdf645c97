#include "controller/session/uplink.hh"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "base/certificate.hh"
#include "base/clock.hh"
#include "base/errc.hh"
#include "base/file.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "controller/session/authority.hh"
#include "controller/session/channel.hh"
#include "controller/session/join_token.hh"
#include "controller/store/store.hh"
#include "identifiers/proto/config_state.hh"
#include "identifiers/proto/protocol.hh"

namespace qanat::session {

namespace asio = boost::asio;
using asio::ip::tcp;
constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);
constexpr std::size_t kMaxOutboxBytes = 48 * 1024 * 1024;

struct Uplink::State {
  State(asio::io_context& context, store::Store& s, UplinkConfig c, Handlers h)
      : io(context), store(s), config(std::move(c)), handlers(std::move(h)), timer(context) {}
  asio::io_context& io;
  store::Store& store;
  UplinkConfig config;
  Handlers handlers;
  asio::steady_timer timer;
  std::shared_ptr<Channel> session;
  bool stopped = false;
};

Uplink::Uplink(asio::io_context& io, store::Store& store, UplinkConfig config, Handlers handlers)
    : state_(std::make_shared<State>(io, store, std::move(config), std::move(handlers))) {}

Uplink::~Uplink() { stop(); }

void Uplink::start() { asio::co_spawn(state_->io, run(), asio::detached); }

void Uplink::stop() {
  state_->stopped = true;
  state_->timer.cancel();
  if (state_->session) state_->session->abort();
}

void Uplink::send(const proto::v1::Envelope& envelope) {
  if (state_->session) state_->session->write(envelope);
}

asio::awaitable<void> Uplink::run() {
  const auto state = state_;  // outlives this object when stopped in between
  constexpr auto kShortest = std::chrono::milliseconds(250);
  constexpr auto kLongest = std::chrono::milliseconds(5000);
  auto wait = kShortest;
  std::string last_error;
  for (std::size_t attempt = 0; !state->stopped; ++attempt) {
    const std::string& address = state->config.addresses[attempt % state->config.addresses.size()];
    const base::Time began = base::monotonic_now();
    const auto ended = co_await connect(address);
    if (state->stopped) co_return;
    const std::string why = address + ": " + (ended ? "session ended" : ended.error().message());
    if (why != last_error) base::log_warn("global controller {}", why);
    last_error = why;
    wait = base::monotonic_now() - began > std::chrono::seconds(5) ? kShortest : std::min(wait * 2, kLongest);
    state->timer.expires_after(wait);
    co_await state->timer.async_wait(kAwait);
  }
}

asio::awaitable<base::Result<std::shared_ptr<Channel>>> Uplink::open(const std::string& address,
                                                                     bool enrolling) {
  const auto state = state_;
  base::TlsContext tls;
  try {
    if (enrolling) {
      const auto token = parse_join_token(base::read_file(state->config.join_token_file, 4096));
      if (!token) {
        base::log_error("{} holds no join token (q1.<secret>.<fingerprint>)", state->config.join_token_file);
        co_return make_error_code(base::Errc::BadBase64);
      }
      tls = base::pinned_client_context(token->ca);
    } else {
      tls = base::client_context(state->store.value("parent_ca").value_or(""),
                                 base::TlsIdentity{state->store.value("parent_certificate").value_or(""),
                                                   state->store.value("parent_key").value_or("")});
    }
  } catch (const std::system_error& error) {
    base::log_error("{}", error.what());
    co_return make_error_code(base::Errc::BadCertificate);
  }
  const auto parts = base::split_address(address);
  boost::system::error_code error;
  const auto ip = parts ? asio::ip::make_address(parts->first, error) : asio::ip::address();
  if (!parts || error) co_return make_error_code(base::Errc::BadUrl);
  tcp::socket socket(state->io);
  bool late = false;
  state->timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(kConnectLimit));
  state->timer.async_wait([&socket, &late](boost::system::error_code cancelled) {
    if (cancelled) return;
    late = true;
    socket.close(cancelled);
  });
  const auto [refused] = co_await socket.async_connect(tcp::endpoint(ip, parts->second), kAwait);
  state->timer.cancel();
  co_await asio::post(state->io,
                      asio::use_awaitable);  // the timer's handler, cancelled or not, is done with `socket`
  if (late) co_return make_error_code(base::Errc::Timeout);
  if (refused) co_return refused;
  auto channel =
      std::make_shared<Channel>(std::move(socket), std::move(tls), proto::kMaxBody, kMaxOutboxBytes);
  const auto shaken = co_await channel->handshake(asio::ssl::stream_base::client, kConnectLimit);
  if (!shaken) co_return shaken.error();
  co_return channel;
}

asio::awaitable<base::Result<void>> Uplink::enrol(const std::string& address) {
  const auto state = state_;
  const auto opened = co_await open(address, true);
  if (!opened) co_return opened.error();
  const auto& channel = *opened;
  const auto token = parse_join_token(base::read_file(state->config.join_token_file, 4096));
  const std::string key = make_private_key();
  proto::v1::Envelope envelope;
  auto& request = *envelope.mutable_enrol();
  request.set_join_token(to_string(*token));
  request.set_name(state->config.name);
  request.set_csr_der(make_request(key, state->config.name));
  request.set_domain_id(state->config.domain);
  request.set_ca_public(state->config.ca_public);
  channel->write(envelope);
  const auto reply = co_await channel->read(kSilence);
  channel->finish();
  if (!reply) co_return reply.error();
  const auto cas = base::read_certificates(reply->enrolled().ca_pem());
  const bool pinned = cas && std::any_of(cas->begin(), cas->end(),
                                         [&](const auto& ca) { return ca.fingerprint == token->ca; });
  if (!reply->has_enrolled() || !pinned) {
    base::log_error("global controller {} refused to enrol this domain: {}", address,
                    reply->refusal().message());
    co_return make_error_code(base::Errc::UntrustedPeer);
  }
  // The certificate is written last: without it, enrolment is tried again.
  state->store.set_value("parent_key", key);
  state->store.set_value("parent_ca", reply->enrolled().ca_pem());
  state->store.set_value("parent_trust", std::to_string(reply->enrolled().trust_serial()));
  state->store.set_value("parent_certificate", reply->enrolled().certificate_pem());
  base::log_info("enrolled with the global controller at {}", address);
  co_return base::Result<void>{};
}

void Uplink::acknowledge(Channel& channel, std::uint64_t serial, std::string error) {
  const auto leaf = base::certificate_fingerprint(state_->store.value("parent_certificate").value_or(""));
  proto::v1::Envelope envelope;
  auto& ack = *envelope.mutable_trust_ack();
  ack.set_serial(serial);
  if (leaf) ack.set_certificate(leaf->data(), leaf->size());
  ack.set_error(std::move(error));
  channel.write(envelope);
}

// Asks for a certificate when the CA that signs now has not made ours, or a third of its life is left.
void Uplink::keep_certificate(Channel& channel) {
  const auto cas = base::read_certificates(state_->store.value("parent_ca").value_or(""));
  const auto own = state_->store.value("parent_certificate").value_or("");
  if (!cas || !base::renewal_due(own, cas->front().key, base::unix_now())) return;
  proto::v1::Envelope envelope;
  envelope.mutable_renew()->set_csr_der(
      make_request(state_->store.value("parent_key").value_or(""), state_->config.name));
  channel.write(envelope);
}

void Uplink::adopt(Channel& channel, const proto::v1::Trust& trust) {
  store::Store& store = state_->store;
  const std::uint64_t serial = std::stoull(store.value("parent_trust").value_or("0"));
  if (trust.serial() > serial) {
    const auto held = store.value("parent_ca").value_or(""),
               own = store.value("parent_certificate").value_or("");
    const auto message = proto::trust_signing_input(trust);
    const auto problem = base::problem_of({held, trust.ca_pem(), message, trust.signature(), own});
    if (!problem.empty()) {
      base::log_warn("the global controller's new CAs are not taken: {}", problem);
      return acknowledge(channel, serial, problem);
    }
    store.set_values({{"parent_ca", trust.ca_pem()}, {"parent_trust", std::to_string(trust.serial())}});
    base::log_info("the global controller's CAs of serial {} are believed", trust.serial());
  }
  acknowledge(channel, std::max(serial, trust.serial()), {});
  keep_certificate(channel);
}

void Uplink::adopt(Channel& channel, const proto::v1::RenewReply& reply) {
  store::Store& store = state_->store;
  const auto cas = base::read_certificates(store.value("parent_ca").value_or(""));
  if (reply.has_refusal() || !cas || !base::signed_by(reply.certificate_pem(), cas->front().key)) {
    return base::log_warn("the global controller gives no certificate: {}", reply.refusal().message());
  }
  store.set_value("parent_certificate", reply.certificate_pem());
  acknowledge(channel, std::stoull(store.value("parent_trust").value_or("0")), {});
}

asio::awaitable<base::Result<void>> Uplink::connect(const std::string& address) {
  const auto state = state_;
  if (!state->store.value("parent_certificate")) {
    const auto enrolled = co_await enrol(address);
    if (!enrolled) co_return enrolled;
  }
  const auto opened = co_await open(address, false);
  if (!opened) co_return opened.error();
  const auto channel = *opened;
  proto::v1::Envelope hello;
  *hello.mutable_hello() = state->handlers.hello();
  hello.mutable_hello()->set_protocol(proto::kUnderstood.newest);
  hello.mutable_hello()->set_software(state->config.software);
  hello.mutable_hello()->set_trust_serial(std::stoull(state->store.value("parent_trust").value_or("0")));
  channel->write(hello);
  keep_certificate(*channel);
  state->session = channel;
  bool heard = false;
  base::Result<void> result;
  // One ping is always on its way, so that reading ends within kSilence when the other side is gone.
  asio::co_spawn(
      state->io,
      [channel]() -> asio::awaitable<void> {
        asio::steady_timer timer(co_await asio::this_coro::executor);
        for (std::uint64_t n = 1; !channel->closed(); ++n) {
          proto::v1::Envelope ping;
          ping.set_ping(n);
          if (!channel->write(ping)) co_return;
          timer.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(kPingInterval));
          co_await timer.async_wait(kAwait);
        }
      },
      asio::detached);
  while (!state->stopped) {
    const auto envelope = co_await channel->read(kSilence);
    if (!envelope) {
      result = envelope.error();
      break;
    }
    if (!heard) {
      heard = true;
      state->handlers.up();
    }
    if (envelope->has_refusal()) {
      base::log_error("global controller {} refused: {}: {}", address, envelope->refusal().code(),
                      envelope->refusal().message());
      result = make_error_code(base::Errc::UntrustedPeer);
      break;
    }
    if (envelope->has_ping()) {
      proto::v1::Envelope pong;
      pong.set_pong(envelope->ping());
      channel->write(pong);
    } else if (envelope->has_trust()) {
      adopt(*channel, envelope->trust());
    } else if (envelope->has_renewed()) {
      adopt(*channel, envelope->renewed());
    } else if (!envelope->has_pong()) {
      state->handlers.envelope(*envelope);
    }
  }
  state->session.reset();
  channel->abort();
  if (heard && !state->stopped) state->handlers.down();
  co_return result;
}

}  // namespace qanat::session
