#include "tools/qanat/pool_command.hh"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "base/config.hh"
#include "base/http_message.hh"
#include "tools/qanat/ask.hh"
#include "tools/qanat/run_command.hh"
#include "tools/qanat/table.hh"

namespace qanat::cli {
namespace {

using nlohmann::json;

constexpr const char* kExamples = R"(
Examples:
  qanat pool status --socket /run/qanat/pool.sock
  qanat pool fault card-lost --cards 1 --socket /run/qanat/pool.sock
  qanat pool fault slow-card --factor 0.3 --for 30s --socket …
  qanat pool fault list --socket …            and: qanat pool fault clear 3
  qanat pool wake deepseek-r1-distill-qwen-32b --socket …
  qanat pool offer --card 2500000 --window "mon-fri 22:00-06:00" --window "sat,sun 00:00-24:00" --socket …
  qanat pool offer --always --socket …        and without options: what is offered now
  qanat pool leases --socket …                card time and what it earned, right by right

Faults: card-lost, slow-card, link-degraded, out-of-memory, throttled, driver-reset, lying-metrics.)";

struct Arguments {
  std::string socket, what, model, lasts, outage;
  double factor = 0;
  std::uint32_t cards = 0;
  std::uint64_t id = 0;
  bool json = false;
  // offer: nano-currency; negative: as it is
  std::int64_t input = -1, cached = -1, output = -1, card = -1, placeholder = -1;
  std::vector<std::string> windows;
  bool always = false;
};

Place place(const Arguments& a) {
  if (a.socket.empty())
    throw CommandError{kWrongUsage, "which pool?",
                       "--socket PATH, as `socket` of its configuration names it"};
  return {"the pool at " + a.socket, "unix:" + a.socket, "", ""};
}

std::string text(const json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end()) return "-";
  return it->is_string() ? it->get<std::string>() : it->dump();
}

void show_status(const json& status) {
  fmt::print("{}: {} × {}, {} spare\n\n", text(status, "id"), text(status, "count"), text(status, "cards"),
             text(status, "spare_cards"));
  Table models{
      {"MODEL", ">CARDS", "PHASE", ">RUNNING", ">WAITING", ">KV", ">TOKENS", ">PREEMPTED", ">RESUMED"}};
  for (const auto& m : status.value("models", json::array())) {
    const double total = m.value("kv_blocks_total", 0.0);
    models.row({text(m, "model"), text(m, "cards"), text(m, "phase"), text(m, "running"), text(m, "waiting"),
                total > 0 ? fmt::format("{:.0f} %", 100 * m.value("kv_blocks_used", 0.0) / total) : "-",
                text(m, "generated_tokens"), text(m, "preemptions"), text(m, "resumed")});
  }
  fmt::print("{}", models.text(terminal_width()));
}

void show_faults(const json& faults) {
  if (faults.empty()) return;
  Table table{{">ID", "FAULT", "MODEL", ">FACTOR"}};
  for (const auto& f : faults)
    table.row({text(f, "id"), text(f, "kind"), text(f, "model"), text(f, "factor")});
  fmt::print("\n{}", table.text(terminal_width()));
}

int done(const Arguments& a, const json& answer, const std::string& said) {
  fmt::print("{}\n", a.json ? answer.dump(2) : said);
  return 0;
}

int milliseconds_of(const std::string& option, const std::string& given) {
  const auto parsed = base::parse_duration(given);
  if (!parsed)
    throw CommandError{kWrongUsage, option + ": \"" + given + "\" is not a duration", "such as 30s"};
  return static_cast<int>(parsed->count() / 1'000'000);
}

int status(const Arguments& a) {
  const json answer = ask(place(a), "GET", "/v1/status");
  if (a.json) return done(a, answer, "");
  show_status(answer);
  show_faults(answer.value("faults", json::array()));
  return 0;
}

int fault(const Arguments& a) {
  if (a.what == "list") {
    const json answer = ask(place(a), "GET", "/qanat/v1/faults");
    if (a.json || answer.empty()) return done(a, answer, "no fault is in force");
    show_faults(answer);
    return 0;
  }
  if (a.what == "clear") {
    if (a.id == 0)
      throw CommandError{kWrongUsage, "which fault?", "qanat pool fault clear ID; `fault list` shows them"};
    return done(a, ask(place(a), "DELETE", "/qanat/v1/faults/" + std::to_string(a.id)),
                fmt::format("fault {} is over", a.id));
  }
  json body{{"kind", a.what}};
  for (char& c : body["kind"].get_ref<std::string&>()) c = c == '-' ? '_' : c;
  if (!a.model.empty()) body["model"] = a.model;
  if (a.factor > 0) body["factor"] = a.factor;
  if (a.cards > 0) body["cards"] = a.cards;
  if (!a.lasts.empty()) body["for_ms"] = milliseconds_of("--for", a.lasts);
  if (!a.outage.empty()) body["outage_ms"] = milliseconds_of("--outage", a.outage);
  const json answer = ask(place(a), "POST", "/qanat/v1/faults", body.dump());
  return done(a, answer, fmt::format("fault {}: {}", text(answer, "id"), a.what));
}

int turn(const Arguments& a, const std::string& verb) {
  const json answer = ask(place(a), "POST", "/qanat/v1/models/" + base::percent_encode(a.model) + "/" + verb);
  if (a.json) return done(a, answer, "");
  show_status(answer);
  return 0;
}

std::string amount(const json& object, const char* key) {
  return fmt::format("{:.9f}", object.value(key, 0.0) * 1e-9);
}

int offer(const Arguments& a) {
  json change = json::object();
  for (const auto& [key, value] : {std::pair{"input", a.input},
                                   {"cached", a.cached},
                                   {"output", a.output},
                                   {"card_nano_s", a.card},
                                   {"placeholder_nano_s", a.placeholder}})
    if (value >= 0) change["price"][key] = value;
  if (a.always && !a.windows.empty())
    throw CommandError{kWrongUsage, "--always and --window exclude each other", "windows, or none at all"};
  if (a.always || !a.windows.empty()) change["windows"] = a.windows;
  const json now = change.empty() ? ask(place(a), "GET", "/qanat/v1/offer")
                                  : ask(place(a), "PUT", "/qanat/v1/offer", change.dump());
  if (a.json) return done(a, now, "");
  const json price = now.value("price", json::object());
  fmt::print("offer {}: {} nano a token in, {} cached, {} out; a card {} a second, a placeholder {}\n",
             text(now, "version"), text(price, "input"), text(price, "cached"), text(price, "output"),
             amount(price, "card_nano_s"), amount(price, "placeholder_nano_s"));
  std::string windows;
  for (const json& w : now.value("windows", json::array())) windows += "\n  " + w.get<std::string>();
  fmt::print("{} now; {}{}\n", now.value("open", true) ? "open" : "shut",
             windows.empty() ? "offered always" : "offered (UTC)", windows);
  return 0;
}

int leases(const Arguments& a) {
  const json all = ask(place(a), "GET", "/qanat/v1/leases");
  if (a.json) return done(a, all, "");
  Table table{{"OWNER", "MODEL", "PLACEHOLDER", ">CARD SECONDS", ">EARNED", ""}};
  for (const json& l : all.value("lines", json::array()))
    table.row({text(l, "owner"), text(l, "model"), text(l, "placeholder"),
               fmt::format("{:.3f}", l.value("card_ms", 0.0) / 1e3), amount(l, "charged_nano"),
               l.value("ended", false) ? "" : "bound"});
  fmt::print("{}{:.3f} card-seconds, {} earned; tokens: qanat statement POOL at a gateway\n",
             table.text(terminal_width()), all.value("card_ms", 0.0) / 1e3, amount(all, "charged_nano"));
  return 0;
}

}  // namespace

int pool_main(int argc, char** argv) {
  CLI::App app{"A pool's state, its models' lives, its faults.", "qanat pool"};
  app.footer(kExamples);
  app.require_subcommand(1);
  Arguments a;
  std::function<int()> action;
  const auto command = [&](const std::string& name, const std::string& summary, std::function<int()> run) {
    CLI::App* sub = app.add_subcommand(name, summary);
    sub->add_option("--socket", a.socket, "the pool's Unix socket")->envname("QANAT_POOL")->type_name("PATH");
    sub->add_flag("--json", a.json, "print JSON rather than text");
    sub->callback([&action, run = std::move(run)] { action = run; });
    return sub;
  };
  command("status", "models, engines, faults", [&a] { return status(a); });
  CLI::App* inject = command("fault", "inject a fault, list them, or clear one", [&a] { return fault(a); });
  inject->add_option("what", a.what, "a fault, or list, or clear")->required();
  inject->add_option("id", a.id, "of the fault to clear");
  inject->add_option("--model", a.model, "only this model's cards");
  inject->add_option("--factor", a.factor, "what is left, between 0 and 1 (0.5)")
      ->check(CLI::Range(0.001, 1.0));
  inject->add_option("--cards", a.cards, "how many are lost (1)")->check(CLI::Range(1, 1024));
  inject->add_option("--outage", a.outage, "how long a reset driver's cards stand still")
      ->type_name("DURATION");
  inject->add_option("--for", a.lasts, "how long it lasts; else until it is cleared")->type_name("DURATION");
  CLI::App* owner = command("offer", "what the pool is offered for and when; with options: from now on",
                            [&a] { return offer(a); });
  owner->add_option("--input", a.input, "nano-currency per prompt token");
  owner->add_option("--cached", a.cached, "per prompt token that was cached");
  owner->add_option("--output", a.output, "per generated token");
  owner->add_option("--card", a.card, "per card and second that a gateway leases");
  owner->add_option("--placeholder", a.placeholder, "per right to an engine and second");
  for (CLI::Option* price : owner->get_options())
    if (price->get_type_name() == "INT") price->type_name("NANO")->check(CLI::Range(0.0, 1e12));
  owner->add_option("--window", a.windows, "when, in UTC, such as \"mon-fri 22:00-06:00\"; several add up")
      ->type_name("DAYS HH:MM-HH:MM");
  owner->add_flag("--always", a.always, "no windows any more");
  command("leases", "card time that gateways held, and what it earned", [&a] { return leases(a); });
  for (const char* verb : {"wake", "drain"})
    command(verb,
            std::string(verb) == "wake" ? "bring a model up from zero"
                                        : "let a model's calls end, then release its cards",
            [&a, verb] { return turn(a, verb); })
        ->add_option("model", a.model, "a model of the pool")
        ->required();
  return run_command(app, argc, argv, action);
}

}  // namespace qanat::cli
