#include "base/daemon.hh"

#include <fmt/format.h>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>

#include "base/clock.hh"
#include "base/file.hh"
#include "base/http_server.hh"
#include "base/log.hh"
#include "base/look_on.hh"
#include "base/service_manager.hh"
#include "base/trace_exporter.hh"

namespace qanat::base {

struct Daemon::State {
  explicit State(std::string_view name) : program(name), signals(io) {}

  std::string program;
  boost::asio::io_context io{1};
  boost::asio::signal_set signals;
  std::vector<std::function<void()>> callbacks;
  std::vector<std::shared_ptr<void>> kept;
  std::unique_ptr<TraceExporter> traces;
  int status = 0;
  bool stopping = false;
  Duration drain_limit{};
  std::function<void()> drain_begin;
  std::function<bool()> drained;
  std::unique_ptr<boost::asio::steady_timer> drain_timer;
  Duration look_at_most{};
  std::function<bool()> worthwhile;

  ~State() {
    callbacks.clear();
    while (!kept.empty()) kept.pop_back();
    traces.reset();
  }
};

Daemon::Daemon(std::string_view program) : state_(std::make_unique<State>(program)) {}
Daemon::~Daemon() = default;

boost::asio::io_context& Daemon::io() { return state_->io; }
void Daemon::on_stop(std::function<void()> callback) { state_->callbacks.push_back(std::move(callback)); }
void Daemon::keep(std::shared_ptr<void> object) { state_->kept.push_back(std::move(object)); }
TraceExporter* Daemon::traces() { return state_->traces.get(); }
bool Daemon::stopping() const { return state_->stopping; }

void Daemon::stop(int status) {
  if (state_->stopping) return;
  state_->stopping = true;
  state_->status = status;
  state_->io.stop();
}

void Daemon::drain(Duration limit, std::function<void()> begin, std::function<bool()> done) {
  state_->drain_limit = limit;
  state_->drain_begin = std::move(begin);
  state_->drained = std::move(done);
  state_->drain_timer = std::make_unique<boost::asio::steady_timer>(state_->io);
}

void Daemon::look_on(Duration at_most, std::function<bool()> worthwhile) {
  state_->look_at_most = at_most;
  state_->worthwhile = std::move(worthwhile);
}

void Daemon::run_looking_on() {
  State& s = *state_;
  LookOn look(s.look_at_most);
  while (!s.io.stopped()) {
    if (s.io.poll() != 0) continue;
    const bool worthwhile = s.worthwhile();
    const Time began = monotonic_now();
    if (worthwhile && look.window() > Duration{}) {
      std::size_t done = 0;
      while (done == 0 && !s.io.stopped() && monotonic_now() - began < look.window()) done = s.io.poll();
      if (done != 0) continue;
    }
    const Time asleep = monotonic_now();
    s.io.run_one();
    if (worthwhile) look.on_slept(monotonic_now() - asleep);
  }
}

void Daemon::look_drained(Time until) {
  if (state_->drained() || monotonic_now() >= until) return stop(0);
  state_->drain_timer->expires_after(std::chrono::milliseconds{20});
  state_->drain_timer->async_wait([this, until](const boost::system::error_code& ec) {
    if (!ec) look_drained(until);
  });
}

int Daemon::run() {
  State& s = *state_;
  s.signals.add(SIGTERM);
  s.signals.add(SIGINT);
  s.signals.async_wait([this](const boost::system::error_code& ec, int number) {
    if (ec) return;
    notify_stopping();
    log_info("ending on {}", number == SIGTERM ? "SIGTERM" : "SIGINT");
    if (!state_->drain_begin) return stop(0);
    state_->drain_begin();
    state_->signals.async_wait([this](const boost::system::error_code& again, int) {
      if (!again) stop(0);
    });
    look_drained(monotonic_now() + state_->drain_limit);
  });
  forget_untaken_descriptors();
  notify_ready();
  if (!s.stopping) {  // start() may have asked for the end already
    if (s.look_at_most > Duration{})
      run_looking_on();
    else
      s.io.run();
  }
  // What the callbacks leave to be done, such as an answer half written, gets its time; then the loop just ends.
  s.stopping = true;
  s.io.restart();
  for (auto it = s.callbacks.rbegin(); it != s.callbacks.rend(); ++it) (*it)();
  if (s.traces) s.traces->stop();
  s.signals.cancel();
  s.drain_timer.reset();
  s.io.run_for(std::chrono::milliseconds{1500});
  return s.status;
}

namespace {

// What every daemon's configuration has.
struct Common {
  std::string log_level;
  std::string trace_endpoint;  // empty: no traces
  std::string name;            // by which it calls itself there
};

// An option of the command line that stands for a key of the file.
struct Given {
  const DaemonOption* option;
  std::string value;
};

// Runs `read` over the file; prints problems.
bool read_config(const std::string& file, const std::vector<Given>& given,
                 const std::function<void(ConfigTable&)>& read, Common& common) {
  std::string text;
  try {
    text = read_file(file, 4 * 1024 * 1024);
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return false;
  }
  ConfigReader reader{text, file};
  for (const auto& [option, value] : given)
    reader.override_string(option->key, value, std::string(option->flag));
  ConfigTable root = reader.root();
  common.log_level = root.one_of("log_level", {"trace", "debug", "info", "warn", "error"}, "info");
  if (auto traces = root.table("traces")) {
    common.trace_endpoint = traces->string("endpoint");
    constexpr std::string_view kHttp = "http://";
    if (!common.trace_endpoint.starts_with(kHttp) ||
        !split_address(common.trace_endpoint.substr(kHttp.size())))
      traces->problem("endpoint", "not an origin", "http://ADDRESS:PORT of an OpenTelemetry collector");
  }
  read(root);
  const std::vector<ConfigProblem> problems = reader.problems();
  if (problems.empty()) common.name = root.has("name") ? root.string("name") : root.string("id", "");
  for (const ConfigProblem& problem : problems) fmt::print(stderr, "{}\n", to_string(problem));
  return problems.empty();
}

}  // namespace

bool check_config(const std::string& file, const std::function<void(ConfigTable&)>& read) {
  Common common;
  return read_config(file, {}, read, common);
}

int daemon_main(int argc, char** argv, const DaemonInfo& info, const std::function<void(ConfigTable&)>& read,
                const std::function<void(Daemon&)>& start) {
  CLI::App app{std::string{info.summary}, std::string{info.program}};
  std::string file;
  bool check = false;
  bool sample = false;
  auto* config_option = app.add_option("--config", file, "the configuration, a TOML file")->type_name("FILE");
  app.add_flag("--check-config", check, "read the configuration, report every problem, and end");
  auto* sample_option =
      app.add_flag("--print-sample", sample, "print a commented sample configuration, and end");
  app.set_version_flag("--version", fmt::format("{} {}", info.program, kVersion));
  config_option->excludes(sample_option);
  std::vector<Given> given;
  for (const DaemonOption& option : info.options)
    app.add_option_function<std::string>(
           std::string{option.flag},
           [&given, &option](const std::string& value) {
             given.push_back({&option, value});
           },
           std::string{option.help})
        ->type_name(std::string{option.type})
        ->excludes(sample_option);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }
  if (sample) {
    fmt::print("{}", info.sample);
    return 0;
  }
  if (file.empty()) {
    fmt::print(stderr, "{0}: --config FILE is required; `{0} --print-sample` prints one to start from\n",
               info.program);
    return 2;
  }
  try {
    Common common;
    if (!read_config(file, given, read, common)) return 2;
    if (check) {
      fmt::print("{}: no problems\n", file);
      return 0;
    }
    std::signal(SIGPIPE, SIG_IGN);
    init_log(info.program, common.log_level);
    Daemon daemon{info.program};
    if (!common.trace_endpoint.empty())
      daemon.state_->traces = std::make_unique<TraceExporter>(daemon.io(), common.trace_endpoint,
                                                              std::string(info.program), common.name);
    start(daemon);
    return daemon.run();
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}: {}\n", info.program, e.what());
    return 1;
  }
}

}  // namespace qanat::base
