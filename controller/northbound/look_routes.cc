// What one may look at: GETs, the event stream, and questions that change nothing.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>

#include "controller/northbound/desk.hh"
#include "controller/northbound/desk_views.hh"
#include "controller/northbound/json_views.hh"
#include "controller/northbound/openapi.hh"
#include "controller/northbound/timestamp.hh"
#include "controller/northbound/what_if_json.hh"
#include "identifiers/ids/tier.hh"

namespace qanat::northbound {
namespace {

constexpr Need kAnyViewer{Role::Viewer, true};
constexpr std::size_t kMostPage = 10'000;
constexpr std::size_t kMostQuestions = 4;  // waiting at once

std::optional<std::uint64_t> number_in(const Request& in, std::string_view name, std::uint64_t fallback,
                                       std::uint64_t most) {
  const auto text = in.parameter(name);
  if (!text) return fallback;
  std::uint64_t number = 0;
  const char* end = text->data() + text->size();
  if (text->empty() || std::from_chars(text->data(), end, number).ptr != end || number > most)
    return std::nullopt;
  return number;
}

// Unix seconds, or RFC 3339.
std::optional<base::UnixSeconds> time_in(const std::string& text) {
  base::UnixSeconds seconds = 0;
  const char* end = text.data() + text.size();
  if (const auto read = std::from_chars(text.data(), end, seconds);
      !text.empty() && read.ptr == end && read.ec == std::errc{})
    return seconds;
  return parse_timestamp(text);
}

// RFC 8288: where the rest is.
void link_next(const Request& in, Responder& out, std::string_view parameter, const std::string& last) {
  std::string query;
  for (std::string_view rest = in.query; !rest.empty();) {
    const std::string_view part = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(part.size() + 1, rest.size()));
    if (!part.starts_with(std::string(parameter) + "=")) query += std::string(part) + "&";
  }
  out.set_header("link", "<" + in.path + "?" + query + std::string(parameter) + "=" +
                             base::percent_encode(last) + ">; rel=\"next\"");
}

// All of a list; with ?limit=N at most N of it in the order of their keys, after the key ?after=K. The header "link" leads on.
template <class View, class Key>
Answer page(Request& in, Responder& out, std::vector<View> all, Key key) {
  const auto limit = number_in(in, "limit", 0, kMostPage);
  if (!limit) {
    co_await out.error(400, "bad_request", "limit: not 1 to 10000", "GET …?limit=100&after=…");
    co_return;
  }
  const auto after = in.parameter("after");
  if (*limit != 0 || after) {
    std::stable_sort(all.begin(), all.end(), [&](const View& a, const View& b) { return key(a) < key(b); });
    if (after) std::erase_if(all, [&](const View& view) { return key(view) <= *after; });
    if (*limit != 0 && all.size() > *limit) {
      all.resize(*limit);
      link_next(in, out, "after", key(all.back()));
    }
  }
  co_await out.json(200, to_json(all));
}

boost::asio::awaitable<session::WhatIfAnswer> think(std::function<session::WhatIfAnswer()> question) {
  co_return question();
}

}  // namespace

void Desk::add_look_routes(Routes& routes) {
  const auto get = [&](std::string_view pattern, Need need, std::function<std::string()> text) {
    routes.look(pattern, need, [text = std::move(text)](Request&, Responder& out, const Caller&) -> Answer {
      co_await out.json(200, text());
    });
  };
  get("/v1/openapi.json", kAnyViewer, [] { return std::string(kOpenApi); });
  routes.look("/v1/whoami", kAnyViewer, [](Request&, Responder& out, const Caller& caller) -> Answer {
    co_await out.json(200, to_json(caller));
  });
  get("/v1/status", kAnyViewer, [this] { return to_json(level_.status(now())); });
  routes.look("/v1/nodes", kViewer, [this](Request& in, Responder& out, const Caller&) {
    return page(in, out, level_.nodes(), [](const auto& n) { return n.name; });
  });
  routes.look("/v1/matrix", kViewer, [this](Request& in, Responder& out, const Caller&) -> Answer {
    std::vector<session::LinkView> links;
    if (const auto text = in.parameter("at")) {
      constexpr const char* kExamples = "GET /v1/matrix?at=2026-11-23T22:00:00Z, or in Unix seconds";
      const auto at = time_in(*text);
      if (!at || *at > now().unix_s) {
        co_await out.error(400, "bad_request", "at: \"" + *text + "\" is not a time that was", kExamples);
        co_return;
      }
      auto past = level_.matrix_at(now(), *at);
      if (!past.links) {
        co_await out.error(404, "not_kept", "at: what was measured then is not kept any more",
                           "it is since " + timestamp(past.kept_since));
        co_return;
      }
      links = std::move(*past.links);
    } else {
      links = level_.matrix(now());
    }
    co_await page(in, out, std::move(links), [](const auto& l) {
      return l.from + " " + l.to + " " + std::to_string(l.from_plane) + " " + std::to_string(l.to_plane);
    });
  });
  routes.look("/v1/tenants", kAnyViewer, [this](Request& in, Responder& out, const Caller& caller) {
    auto tenants = level_.tenants();
    if (!caller.tenant.empty())
      std::erase_if(tenants, [&](const auto& tenant) { return tenant.name != caller.tenant; });
    return page(in, out, std::move(tenants), [](const auto& tenant) { return tenant.name; });
  });
  routes.look("/v1/paths", kViewer, [this](Request& in, Responder& out, const Caller&) -> Answer {
    session::PathQuery query{in.parameter("from").value_or(""), in.parameter("to").value_or(""),
                             std::nullopt};
    if (const auto tier = in.parameter("tier")) {
      query.tier = ids::parse_tier(*tier);
      if (!query.tier) {
        co_await out.error(400, "bad_tier", "no such tier", "critical, interactive, bulk or scavenger");
        co_return;
      }
    }
    co_await page(in, out, level_.paths(query), [](const auto& p) {
      return p.from + " " + p.to + " " + std::to_string(static_cast<int>(p.tier)) + " " +
             std::to_string(p.preference);
    });
  });
  get("/v1/ca", kViewer, [this] { return to_json(level_.ca_status()); });
  get("/v1/network-key", kViewer, [this] { return to_json(level_.network_key_status()); });
  get("/v1/traffic", kViewer, [this] {
    if (!level_.status(now()).leader.empty()) throw session::NotLeader("this controller only stands by");
    return to_json(level_.traffic());
  });
  get("/v1/canary", kViewer, [this] { return canary_json(); });
  get("/v1/intent", kViewer, [this] {
    // Rules are in force at the leader alone.
    if (!level_.status(now()).leader.empty()) throw session::NotLeader("this controller only stands by");
    return intent_document(intents_.version(), intents_.current());
  });
  routes.look("/v1/versions", kViewer, [this](Request& in, Responder& out, const Caller&) -> Answer {
    const auto limit = number_in(in, "limit", 100, Intents::kKept),
               before = number_in(in, "before", 0, ~0ull);
    if (!limit || *limit == 0 || !before) {
      co_await out.error(400, "bad_request", "limit: 1 to 1000; before: a version's number");
      co_return;
    }
    const auto list = intents_.versions(*before, *limit);
    if (list.size() == *limit && list.back().version > 1)
      link_next(in, out, "before", std::to_string(list.back().version));
    co_await out.json(200, to_json(list));
  });
  routes.look(
      "/v1/versions/{version}", kViewer, [this](Request& in, Responder& out, const Caller&) -> Answer {
        std::uint64_t version = 0;
        const auto text = in.capture("version");
        std::from_chars(text.data(), text.data() + text.size(), version);
        const std::string record = intents_.record(version);
        if (!record.empty()) co_return (void) co_await out.json(200, record);
        co_await out.error(404, "no_such_version", "no version of that number is kept", "GET /v1/versions");
      });
  routes.look("/v1/audit", kOperator, [this](Request& in, Responder& out, const Caller&) -> Answer {
    const auto limit = number_in(in, "limit", 100, kMostPage), after = number_in(in, "after", 0, ~0ull);
    if (!limit || *limit == 0 || !after) {
      co_await out.error(400, "bad_request", "limit: 1 to 10000; after: a line's sequence");
      co_return;
    }
    const auto lines = audit_.lines(*after, *limit);
    if (lines.size() == *limit) link_next(in, out, "after", std::to_string(lines.back().sequence));
    co_await out.json(200, audit_document(audit_.count(), audit_.head(), lines));
  });
  routes.look("/v1/tokens", kAdmin, [this](Request& in, Responder& out, const Caller&) {
    return page(in, out, access.tokens(), [](const auto& token) { return token.id; });
  });
  routes.look(
      "/v1/what-if", kViewer, [this](Request& in, Responder& out, const Caller&) { return what_if(in, out); },
      "POST");
  routes.look("/v1/events", kViewer, [this](Request&, Responder& out, const Caller&) {
    return events.serve(out, [this] { return to_json(level_.status(now())); });
  });
  routes.look("/metrics", kViewer, [this](Request&, Responder& out, const Caller&) -> Answer {
    co_await out.send(200, "text/plain; version=0.0.4", metrics_.text());
  });
}

// On a thread of its own: a thousand nodes take a second, and the controller goes on meanwhile.
Answer Desk::what_if(Request& in, Responder& out) {
  constexpr std::string_view kHint = "POST {\"fail_nodes\":[\"relay1\"]}";
  const auto question = parse_what_if(in.body);
  if (const auto* problems = std::get_if<Problems>(&question)) {
    co_await out.error(400, "bad_request", joined(*problems), kHint);
    co_return;
  }
  if (questions_ >= kMostQuestions) {
    co_await out.error(503, "busy", "four questions are being answered", "ask again in a second");
    co_return;
  }
  ++questions_;
  auto thought = think(level_.what_if(std::get<session::WhatIf>(question), now()));
  const session::WhatIfAnswer answer =
      co_await boost::asio::co_spawn(thinking_, std::move(thought), boost::asio::use_awaitable);
  --questions_;
  if (answer.problems.empty()) {
    co_await out.json(200, to_json(answer));
  } else {
    co_await out.error(400, "bad_request", joined(answer.problems), "GET /v1/nodes lists the names");
  }
}

}  // namespace qanat::northbound
