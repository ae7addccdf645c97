// ConfigReader: strict reading of a daemon's TOML file.
// It remembers which keys were asked for, so that one run reports every problem: unknown keys, missing keys,
// wrong types, values out of range, each with file, line, key and what was expected.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.hh"

namespace qanat::base {

struct ConfigProblem {
  std::string file;
  int line = 0;  // 1 …; 0 where the file as a whole is meant
  std::string key;
  std::string what;
  std::string expected;
};
// "FILE:LINE: key: what, expected …".
std::string to_string(const ConfigProblem& problem);

struct IntRange {
  std::int64_t min = std::numeric_limits<std::int64_t>::min();
  std::int64_t max = std::numeric_limits<std::int64_t>::max();
};
struct NumberRange {
  double min = std::numeric_limits<double>::lowest();
  double max = std::numeric_limits<double>::max();
};

class ConfigReader;

// One table of the file. A cheap handle; valid while its ConfigReader lives. A getter without a default makes
// its key required; on any problem it notes it and returns the default (or an empty value), so reading always
// runs to the end.
class ConfigTable {
 public:
  // True when the key is there, of whatever type; does not count as asking for it.
  bool has(std::string_view key) const;

  std::string string(std::string_view key);
  std::string string(std::string_view key, std::string_view fallback);
  std::optional<std::string> optional_string(std::string_view key);
  // One of the given words.
  std::string one_of(std::string_view key, std::initializer_list<std::string_view> words);
  std::string one_of(std::string_view key, std::initializer_list<std::string_view> words,
                     std::string_view fallback);

  std::int64_t integer(std::string_view key, IntRange range);
  std::int64_t integer(std::string_view key, IntRange range, std::int64_t fallback);
  std::optional<std::int64_t> optional_integer(std::string_view key, IntRange range);
  // A float; an integer will do.
  double number(std::string_view key, NumberRange range);
  double number(std::string_view key, NumberRange range, double fallback);
  bool boolean(std::string_view key);
  bool boolean(std::string_view key, bool fallback);
  // A string such as "250us", "20ms", "1.5s", "10m", "6h", "7d".
  Duration duration(std::string_view key, Duration min, Duration max);
  Duration duration(std::string_view key, Duration min, Duration max, Duration fallback);

  // Arrays. With `required`, a missing or empty array is a problem.
  std::vector<std::string> strings(std::string_view key, bool required = false);
  std::vector<std::int64_t> integers(std::string_view key, IntRange range, bool required = false);

  // [key]: nullopt when it is not there.
  std::optional<ConfigTable> table(std::string_view key, bool required = false);
  // [[key]], in file order.
  std::vector<ConfigTable> tables(std::string_view key, bool required = false);
  // [key.NAME] …: tables under names that the operator chose, in the order of the names.
  std::vector<std::pair<std::string, ConfigTable>> named_tables(std::string_view key);

  // Notes a problem that only the caller can see, at the line of `key` (or of the table when key is empty).
  void problem(std::string_view key, std::string what, std::string expected);
  // "line[2]", empty for the root.
  const std::string& path() const { return path_; }

 private:
  friend class ConfigReader;
  ConfigTable(ConfigReader* reader, const void* node, std::string path)
      : reader_(reader), node_(node), path_(std::move(path)) {}
  const void* ask(std::string_view key, bool required, std::string_view expected);
  void wrong(const void* node, std::string_view key, std::string what, std::string expected);

  ConfigReader* reader_;
  const void* node_;  // toml::table
  std::string path_;
};

class ConfigReader {
 public:
  // `file` is only a name for messages. Text that is not TOML becomes one problem, with its line.
  ConfigReader(std::string_view text, std::string file);
  ~ConfigReader();
  ConfigReader(const ConfigReader&) = delete;
  ConfigReader& operator=(const ConfigReader&) = delete;

  // A key of the root table is this string, whatever the file says; problems with it name `source` in the file's place.
  // Before anything is asked for.
  void override_string(std::string_view key, std::string_view value, std::string source);

  ConfigTable root();
  // Everything that is wrong, by line; call it after all keys were asked for: keys nobody asked for are
  // problems.
  std::vector<ConfigProblem> problems() const;

 private:
  friend class ConfigTable;
  struct State;
  std::unique_ptr<State> state_;
};

// "250us" … "7d" → duration; nullopt when it is not one.
std::optional<Duration> parse_duration(std::string_view text);

}  // namespace qanat::base
