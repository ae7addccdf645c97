#include "controller/northbound/northbound.hh"

#include "controller/northbound/desk.hh"
#include "controller/northbound/page.hh"
#include "ui/pages.hh"

namespace qanat::northbound {
namespace {

constexpr std::size_t kMostBody = 256 * 1024;

base::HttpLimits limits() {
  base::HttpLimits limits;
  limits.body_bytes = kMostBody;
  limits.connections = 1024;
  limits.header_timeout = std::chrono::seconds{5};
  limits.body_timeout = std::chrono::seconds{10};
  return limits;
}

// The pages hold no secret; they ask for the token and send it with what they fetch. Where npm was missing at build: the small
// page.
void add_page(HttpServer& server) {
  if (ui::add_pages(server, ui::Site::Controller)) return;
  server.route("GET", "/", [](Request&, Responder& out) -> Answer {
    out.set_header(
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'");
    co_await out.send(200, "text/html; charset=utf-8", std::string(kPage));
  });
}

}  // namespace

struct Northbound::Owner {
  Owner(boost::asio::io_context& io, session::Level& l, const session::Listener& listener,
        store::Store& store)
      : level(l), desk(io, l, listener, store), tcp(io, limits()), local(io, limits()) {}
  session::Level& level;
  Desk desk;
  HttpServer tcp;
  HttpServer local;
};

Northbound::Northbound(boost::asio::io_context& io, session::Level& level, const session::Listener& listener,
                       store::Store& store)
    : owner_(std::make_shared<Owner>(io, level, listener, store)) {
  for (HttpServer* server : {&owner_->tcp, &owner_->local}) {
    const bool guarded = server == &owner_->tcp;
    server->hooks(owner_->desk.hooks(guarded));
    owner_->desk.add_routes(*server, guarded);
    add_page(*server);
  }
  level.on_event([owner = owner_.get()](const session::Event& event) { owner->desk.on_event(event); });
}

Northbound::~Northbound() { stop(); }

void Northbound::listen_tcp(const std::string& address, std::string admin_token, std::string viewer_token) {
  owner_->desk.access.let_in(std::move(admin_token), std::move(viewer_token));
  owner_->tcp.listen_tcp(address);
}

void Northbound::members_connect_to(std::vector<std::string> addresses) {
  std::string list;
  for (const std::string& address : addresses) list += (list.empty() ? "\"" : ",\"") + address + "\"";
  owner_->desk.addresses = "[" + list + "]";
}

void Northbound::listen_unix(const std::string& path) { owner_->local.listen_unix(path); }

std::uint16_t Northbound::port() const { return owner_->tcp.port(); }

base::MetricsRegistry& Northbound::metrics() { return owner_->desk.metrics(); }

void Northbound::on_timer() { owner_->desk.on_timer(now()); }

void Northbound::stop() {
  owner_->level.on_event({});
  owner_->desk.stop();
  owner_->tcp.stop();
  owner_->local.stop();
}

}  // namespace qanat::northbound
