// Accounts over HTTP: invited by an admin, enrolled and signed in by whoever it is, ended by either.
#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

#include "base/hex.hh"
#include "controller/northbound/desk.hh"
#include "controller/northbound/grant.hh"
#include "controller/northbound/object_reader.hh"

namespace qanat::northbound {
namespace {

constexpr Need kAnybody{Role::Viewer, true};
constexpr std::size_t kMostChecks = 4;  // passwords being stretched, or waiting for it
constexpr std::string_view kInviteHint = "POST {\"name\":\"alice\",\"role\":\"operator\"}";
constexpr std::string_view kNoAccount = "GET /v1/accounts lists them";

struct Credentials {
  std::string name, invitation, password, code;
};

// What is sent to sign in, or to enrol.
std::variant<Credentials, Problems> parse_credentials(std::string_view body, bool enrols) {
  Problems problems;
  const Json json = Json::parse(body, nullptr, false);
  ObjectReader reader(json, "", problems);
  Credentials c;
  c.name = reader.string("name", true);
  if (enrols) c.invitation = reader.string("invitation", true);
  c.password = reader.string("password", true);
  c.code = reader.string("code", !enrols);
  reader.finish();
  if (c.password.size() > Accounts::kMostPassword ||
      (enrols && !c.password.empty() && c.password.size() < Accounts::kLeastPassword))
    problems.push_back(
        fmt::format("password: {} to {} bytes", Accounts::kLeastPassword, Accounts::kMostPassword));
  if (!problems.empty()) return problems;
  return c;
}

std::variant<AccountRequest, Problems> parse_account(std::string_view body) {
  Problems problems;
  const Json json = Json::parse(body, nullptr, false);
  ObjectReader reader(json, "", problems);
  AccountRequest request;
  read_grant(reader, request);
  reader.finish();
  if (!problems.empty()) return problems;
  return request;
}

Json account_json(const AccountView& a) {
  return {{"name", a.name},
          {"role", to_string(a.role)},
          {"tenant", a.tenant},
          {"state", to_string(a.state)},
          {"created_by", a.created_by},
          {"created_unix_s", a.created},
          {"last_sign_in_unix_s", a.last_sign_in},
          {"recovery_codes", a.recovery_codes}};
}

Reply invited_reply(int status, const Accounts::Invited& invited) {
  Json json = account_json(invited.view);
  json["invitation"] = invited.invitation;
  return {.status = status, .body = text_of(json), .result = "invited " + invited.view.name};
}

Reply no_such_account() { return failed(404, "no_such_account", "no account of that name", kNoAccount); }

boost::asio::awaitable<PasswordKey> stretch(std::string password, std::string salt) {
  co_return stretched(password, salt);
}

}  // namespace

void Desk::add_account_routes(Routes& routes) {
  routes.look("/v1/accounts", kAdmin, [this](Request&, Responder& out, const Caller&) -> Answer {
    Json list = Json::array();
    for (const auto& account : accounts_.list()) list.push_back(account_json(account));
    co_await out.json(200, text_of(list));
  });
  routes.change("POST", "/v1/accounts", kAdmin, [this](Request& in, const Caller& caller) -> Reply {
    const auto request = parse_account(in.body);
    if (const auto* problems = std::get_if<Problems>(&request))
      return failed(400, "bad_request", joined(*problems), kInviteHint);
    const auto made = accounts_.invite(std::get<AccountRequest>(request), caller, now().unix_s);
    if (const auto* problems = std::get_if<Problems>(&made))
      return failed(400, "bad_request", joined(*problems), kInviteHint);
    return invited_reply(201, std::get<Accounts::Invited>(made));
  });
  routes.change("POST", "/v1/accounts/{name}/reset", kAdmin, [this](Request& in, const Caller&) -> Reply {
    const auto invited = accounts_.reset(std::string(in.capture("name")), now().unix_s);
    return invited ? invited_reply(200, *invited) : no_such_account();
  });
  routes.change("POST", "/v1/accounts/{name}/disable", kAdmin, [this](Request& in, const Caller&) -> Reply {
    const auto view = accounts_.enable(std::string(in.capture("name")), false);
    return view ? Reply{.body = text_of(account_json(*view)), .result = "disabled"} : no_such_account();
  });
  routes.change("POST", "/v1/accounts/{name}/enable", kAdmin, [this](Request& in, const Caller&) -> Reply {
    const auto view = accounts_.enable(std::string(in.capture("name")), true);
    return view ? Reply{.body = text_of(account_json(*view)), .result = "enabled"} : no_such_account();
  });
  routes.change("DELETE", "/v1/accounts/{name}", kAdmin, [this](Request& in, const Caller&) -> Reply {
    return accounts_.remove(std::string(in.capture("name"))) ? Reply{.result = "removed"} : no_such_account();
  });
  routes.change("POST", "/v1/sign-out", kAnybody, [this](Request& in, const Caller&) -> Reply {
    return {.result = access.end_session(in.headers.find("authorization")) ? "signed out" : "no session"};
  });
  routes.look(
      "/v1/enrol", kAnybody,
      [this](Request& in, Responder& out, const Caller&) { return let_in(in, out, true); }, "POST");
  routes.look(
      "/v1/sign-in", kAnybody,
      [this](Request& in, Responder& out, const Caller&) { return let_in(in, out, false); }, "POST");
}

// Passwords are stretched on a thread of their own. Into the audit log: who exists, and what came of it; never the body.
Answer Desk::let_in(Request& in, Responder& out, bool enrols) {
  if (const std::string leader = level_.status(now()).leader; !leader.empty())
    throw session::NotLeader(leader);
  const auto parsed = parse_credentials(in.body, enrols);
  if (const auto* problems = std::get_if<Problems>(&parsed)) {
    co_await out.error(
        400, "bad_request", joined(*problems),
        enrols ? R"({"name","invitation","password"[,"code"]})" : R"({"name","password","code"})");
    co_return;
  }
  const Credentials given = std::get<Credentials>(parsed);
  if (checks_ >= kMostChecks) {
    co_await out.error(503, "busy", "others are signing in", "again in a second");
    co_return;
  }
  Reply reply;
  Json body;
  std::optional<Accounts::Refused> refused;
  if (accounts_.paused(given.name, now().mono)) {
    refused = Accounts::Refused::TooMany;
  } else if (enrols && given.code.empty()) {
    const auto begun = accounts_.begin(given.name, given.invitation, "Qanat " + level_.status(now()).name,
                                       now().unix_s, now().mono);
    if (const auto* secret = std::get_if<Accounts::Secret>(&begun))
      body = {{"secret", secret->base32}, {"uri", secret->uri}};
    else
      refused = std::get<Accounts::Refused>(begun);
  } else {
    const std::string salt = enrols ? new_salt() : accounts_.salt_of(given.name);
    ++checks_;
    auto thought = stretch(given.password, salt);
    const PasswordKey key =
        co_await boost::asio::co_spawn(checking_, std::move(thought), boost::asio::use_awaitable);
    --checks_;
    if (enrols) {
      const auto done =
          accounts_.enrol(given.name, given.invitation, salt, key, given.code, now().unix_s, now().mono);
      if (const auto* enrolled = std::get_if<Accounts::Enrolled>(&done))
        body = {{"recovery_codes", enrolled->recovery_codes}};
      else
        refused = std::get<Accounts::Refused>(done);
    } else {
      const auto done = accounts_.sign_in(given.name, key, given.code, now().unix_s, now().mono);
      if (const auto* made = std::get_if<Access::Made>(&done))
        body = {{"token", made->text},
                {"name", made->view.name},
                {"role", to_string(made->view.role)},
                {"tenant", made->view.tenant},
                {"expires_unix_s", made->view.expires}};
      else
        refused = std::get<Accounts::Refused>(done);
    }
  }
  reply.result = enrols ? (body.contains("secret") ? "secret shown" : "enrolled") : "signed in";
  if (refused == Accounts::Refused::TooMany) {
    const auto left = accounts_.pause_left(given.name, now().mono);
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(left).count();
    out.set_header("retry-after", std::to_string(seconds));
    reply = failed(429, "too_many_tries", "too many wrong tries",
                   fmt::format("in {} s; an admin can reset the account", seconds));
  } else if (refused) {
    reply = failed(401, "sign_in_refused", "name, password or code is not right",
                   enrols ? "an invitation is good once, for a week" : "each code is good once");
  }
  metrics_
      .counter("qanat_northbound_sign_ins_total", "Sign-ins and enrolments, by what came of them",
               {{"result", reply.code.empty() ? "ok" : reply.code}})
      .add();
  if (!reply.code.empty()) note_refusal(reply.status, reply.code, in);
  if (reply.status != 429 && accounts_.exists(given.name))
    audit_.add({.caller = {given.name, Role::Viewer},
                .from = in.peer,
                .action = in.method + " " + in.path,
                .body = {},
                .status = reply.status,
                .result = reply.result},
               now().unix_s);
  if (reply.code.empty())
    co_await out.json(200, text_of(body));
  else
    co_await out.error(reply.status, reply.code, reply.message, reply.hint);
}

}  // namespace qanat::northbound
