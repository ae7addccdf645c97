#include "base/config.hh"

#define TOML_EXCEPTIONS 0
#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

namespace qanat::base {
namespace {

// Handles point at toml::node, of which tables are one kind.
const toml::node& node_of(const void* node) { return *static_cast<const toml::node*>(node); }
const toml::table& table_of(const void* node) { return *node_of(node).as_table(); }

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table: return "a table";
    case toml::node_type::array: return "an array";
    case toml::node_type::string: return "a string";
    case toml::node_type::integer: return "an integer";
    case toml::node_type::floating_point: return "a float";
    case toml::node_type::boolean: return "a boolean";
    default: return "a date or time";
  }
}

std::string range_text(IntRange range) {
  constexpr IntRange kAny;
  if (range.min == kAny.min && range.max == kAny.max) return "an integer";
  if (range.max == kAny.max) return fmt::format("an integer, {} or more", range.min);
  return fmt::format("an integer from {} to {}", range.min, range.max);
}

std::string range_text(NumberRange range) {
  constexpr NumberRange kAny;
  if (range.min == kAny.min && range.max == kAny.max) return "a number";
  if (range.max == kAny.max) return fmt::format("a number, {} or more", range.min);
  return fmt::format("a number from {} to {}", range.min, range.max);
}

struct Unit {
  std::string_view name;
  std::int64_t ns;
};
// Longest names first: "ms" before "m" and "s".
constexpr Unit kUnits[] = {{"ns", 1},
                           {"us", 1'000},
                           {"ms", 1'000'000},
                           {"s", 1'000'000'000},
                           {"m", 60'000'000'000},
                           {"h", 3'600'000'000'000},
                           {"d", 86'400'000'000'000}};

std::string duration_text(Duration d) {
  for (auto unit = std::rbegin(kUnits); unit != std::rend(kUnits); ++unit)
    if (d.count() != 0 && d.count() % unit->ns == 0)
      return fmt::format("{}{}", d.count() / unit->ns, unit->name);
  return "0s";
}

std::string joined(std::initializer_list<std::string_view> words) {
  return fmt::format("{}", fmt::join(words, ", "));
}

}  // namespace

struct ConfigReader::State {
  std::string file;
  toml::table root;
  std::vector<ConfigProblem> problems;
  // Asked-for keys of each table; a table that was never reached is one unknown key of its parent.
  std::map<const void*, std::set<std::string, std::less<>>> asked;
  // Keys of the root that came from elsewhere, and from where.
  std::map<std::string, std::string, std::less<>> overridden;
  bool parsed = true;

  const void* root_node() const { return static_cast<const toml::node*>(&root); }

  void note_unknown(const void* table, const std::string& path, std::vector<ConfigProblem>& out) const {
    const auto it = asked.find(table);
    for (const auto& [key, node] : table_of(table)) {
      const std::string name = path.empty() ? std::string{key.str()} : path + "." + std::string{key.str()};
      if (it == asked.end() || !it->second.contains(key.str())) {
        const std::string known = it == asked.end() ? "" : fmt::format("{}", fmt::join(it->second, ", "));
        out.push_back({file, static_cast<int>(key.source().begin.line), name, "unknown key",
                       known.empty() ? "none here" : "one of " + known});
      } else if (node.is_table()) {
        if (asked.contains(&node)) note_unknown(&node, name, out);
      } else if (const toml::array* array = node.as_array()) {
        for (std::size_t i = 0; i < array->size(); ++i)
          if (const toml::node& item = (*array)[i]; item.is_table() && asked.contains(&item))
            note_unknown(&item, fmt::format("{}[{}]", name, i), out);
      }
    }
  }
};

std::string to_string(const ConfigProblem& p) {
  std::string text = p.line > 0 ? fmt::format("{}:{}: ", p.file, p.line) : fmt::format("{}: ", p.file);
  if (!p.key.empty()) text += p.key + ": ";
  text += p.what;
  if (!p.expected.empty()) text += ", expected " + p.expected;
  return text;
}

std::optional<Duration> parse_duration(std::string_view text) {
  double value = 0;
  const auto [end, ec] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (ec != std::errc{} || value < 0) return std::nullopt;
  const std::string_view unit = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const auto& [name, ns] : kUnits) {
    if (unit != name) continue;
    const double total = std::round(value * static_cast<double>(ns));
    if (total > 9.2e18) return std::nullopt;
    return Duration{static_cast<std::int64_t>(total)};
  }
  return std::nullopt;
}

// ---- ConfigTable -----------------------------------------------------------------------------------------------

bool ConfigTable::has(std::string_view key) const { return table_of(node_).contains(key); }

void ConfigTable::wrong(const void* node, std::string_view key, std::string what, std::string expected) {
  const auto& source = (node != nullptr ? node_of(node) : node_of(node_)).source();
  std::string name = path_.empty() || key.empty() ? path_ + std::string{key} : path_ + "." + std::string{key};
  const ConfigReader::State& state = *reader_->state_;
  const auto elsewhere = path_.empty() ? state.overridden.find(key) : state.overridden.end();
  reader_->state_->problems.push_back({elsewhere == state.overridden.end() ? state.file : elsewhere->second,
                                       static_cast<int>(source.begin.line), std::move(name), std::move(what),
                                       std::move(expected)});
}

void ConfigTable::problem(std::string_view key, std::string what, std::string expected) {
  wrong(table_of(node_).get(key), key, std::move(what), std::move(expected));
}

const void* ConfigTable::ask(std::string_view key, bool required, std::string_view expected) {
  reader_->state_->asked[node_].emplace(key);
  const toml::node* node = table_of(node_).get(key);
  if (node == nullptr && required && reader_->state_->parsed)
    wrong(nullptr, key, "missing", std::string{expected});
  return node;
}

namespace {
constexpr std::string_view kString = "a string";
constexpr std::string_view kStrings = "an array of strings";
}  // namespace

std::optional<std::string> ConfigTable::optional_string(std::string_view key) {
  const void* node = ask(key, false, kString);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = node_of(node).as_string()) return value->get();
  wrong(node, key, std::string{type_name(node_of(node))}, std::string{kString});
  return std::nullopt;
}

std::string ConfigTable::string(std::string_view key) {
  const void* node = ask(key, true, kString);
  if (node == nullptr) return {};
  const auto value = optional_string(key);
  if (value && value->empty()) wrong(node, key, "empty", "a string that is not empty");
  return value.value_or("");
}

std::string ConfigTable::string(std::string_view key, std::string_view fallback) {
  return optional_string(key).value_or(std::string{fallback});
}

std::string ConfigTable::one_of(std::string_view key, std::initializer_list<std::string_view> words) {
  if (ask(key, true, "one of " + joined(words)) == nullptr) return {};
  return one_of(key, words, "");
}

std::string ConfigTable::one_of(std::string_view key, std::initializer_list<std::string_view> words,
                                std::string_view fallback) {
  const auto value = optional_string(key);
  if (!value) return std::string{fallback};
  if (std::find(words.begin(), words.end(), *value) != words.end()) return *value;
  problem(key, fmt::format("\"{}\"", *value), "one of " + joined(words));
  return std::string{fallback};
}

std::optional<std::int64_t> ConfigTable::optional_integer(std::string_view key, IntRange range) {
  const void* node = ask(key, false, {});
  if (node == nullptr) return std::nullopt;
  const auto* value = node_of(node).as_integer();
  if (value == nullptr) {
    wrong(node, key, std::string{type_name(node_of(node))}, range_text(range));
    return std::nullopt;
  }
  if (value->get() < range.min || value->get() > range.max) {
    wrong(node, key, std::to_string(value->get()), range_text(range));
    return std::nullopt;
  }
  return value->get();
}

std::int64_t ConfigTable::integer(std::string_view key, IntRange range) {
  ask(key, true, range_text(range));
  return optional_integer(key, range).value_or(std::max<std::int64_t>(range.min, 0));
}

std::int64_t ConfigTable::integer(std::string_view key, IntRange range, std::int64_t fallback) {
  return optional_integer(key, range).value_or(fallback);
}

double ConfigTable::number(std::string_view key, NumberRange range) {
  ask(key, true, range_text(range));
  return number(key, range, std::max(range.min, 0.0));
}

double ConfigTable::number(std::string_view key, NumberRange range, double fallback) {
  const void* node = ask(key, false, {});
  if (node == nullptr) return fallback;
  double value = 0;
  if (const auto* real = node_of(node).as_floating_point()) {
    value = real->get();
  } else if (const auto* integer = node_of(node).as_integer()) {
    value = static_cast<double>(integer->get());
  } else {
    wrong(node, key, std::string{type_name(node_of(node))}, range_text(range));
    return fallback;
  }
  if (std::isfinite(value) && value >= range.min && value <= range.max) return value;
  wrong(node, key, fmt::format("{}", value), range_text(range));
  return fallback;
}

bool ConfigTable::boolean(std::string_view key) {
  ask(key, true, "true or false");
  return boolean(key, false);
}

bool ConfigTable::boolean(std::string_view key, bool fallback) {
  const void* node = ask(key, false, {});
  if (node == nullptr) return fallback;
  if (const auto* value = node_of(node).as_boolean()) return value->get();
  wrong(node, key, std::string{type_name(node_of(node))}, "true or false");
  return fallback;
}

Duration ConfigTable::duration(std::string_view key, Duration min, Duration max) {
  ask(key, true, fmt::format("a duration from \"{}\" to \"{}\"", duration_text(min), duration_text(max)));
  return duration(key, min, max, min);
}

Duration ConfigTable::duration(std::string_view key, Duration min, Duration max, Duration fallback) {
  const void* node = ask(key, false, {});
  if (node == nullptr) return fallback;
  const auto expected = [&] {
    return fmt::format("a duration from \"{}\" to \"{}\"", duration_text(min), duration_text(max));
  };
  const auto* text = node_of(node).as_string();
  if (text == nullptr) {
    wrong(node, key, std::string{type_name(node_of(node))}, expected());
    return fallback;
  }
  const auto value = parse_duration(text->get());
  if (value && *value >= min && *value <= max) return *value;
  wrong(node, key, fmt::format("\"{}\"", text->get()), expected());
  return fallback;
}

std::vector<std::string> ConfigTable::strings(std::string_view key, bool required) {
  std::vector<std::string> out;
  const void* node = ask(key, required, kStrings);
  if (node == nullptr) return out;
  const auto* array = node_of(node).as_array();
  if (array == nullptr) {
    wrong(node, key, std::string{type_name(node_of(node))}, std::string{kStrings});
    return out;
  }
  for (const toml::node& item : *array) {
    if (const auto* value = item.as_string())
      out.push_back(value->get());
    else
      wrong(&item, key, fmt::format("{} in it", type_name(item)), std::string{kStrings});
  }
  if (required && array->empty()) wrong(node, key, "empty", "at least one string");
  return out;
}

std::vector<std::int64_t> ConfigTable::integers(std::string_view key, IntRange range, bool required) {
  std::vector<std::int64_t> out;
  const std::string expected = "an array, each item " + range_text(range);
  const void* node = ask(key, required, expected);
  if (node == nullptr) return out;
  const auto* array = node_of(node).as_array();
  if (array == nullptr) {
    wrong(node, key, std::string{type_name(node_of(node))}, expected);
    return out;
  }
  for (const toml::node& item : *array) {
    const auto* value = item.as_integer();
    if (value == nullptr)
      wrong(&item, key, fmt::format("{} in it", type_name(item)), expected);
    else if (value->get() < range.min || value->get() > range.max)
      wrong(&item, key, fmt::format("{} in it", value->get()), expected);
    else
      out.push_back(value->get());
  }
  if (required && array->empty()) wrong(node, key, "empty", "at least one integer");
  return out;
}

std::optional<ConfigTable> ConfigTable::table(std::string_view key, bool required) {
  const void* node = ask(key, required, fmt::format("a table [{}]", key));
  if (node == nullptr) return std::nullopt;
  if (!node_of(node).is_table()) {
    wrong(node, key, std::string{type_name(node_of(node))}, fmt::format("a table [{}]", key));
    return std::nullopt;
  }
  reader_->state_->asked[node];
  return ConfigTable{reader_, node, path_.empty() ? std::string{key} : path_ + "." + std::string{key}};
}

std::vector<ConfigTable> ConfigTable::tables(std::string_view key, bool required) {
  std::vector<ConfigTable> out;
  const std::string expected = fmt::format("tables [[{}]]", key);
  const void* node = ask(key, required, expected);
  if (node == nullptr) return out;
  const auto* array = node_of(node).as_array();
  if (array == nullptr) {
    wrong(node, key, std::string{type_name(node_of(node))}, expected);
    return out;
  }
  const std::string path = path_.empty() ? std::string{key} : path_ + "." + std::string{key};
  for (std::size_t i = 0; i < array->size(); ++i) {
    const toml::node& item = (*array)[i];
    if (!item.is_table()) {
      wrong(&item, key, fmt::format("{} in it", type_name(item)), expected);
      continue;
    }
    reader_->state_->asked[&item];
    out.push_back(ConfigTable{reader_, &item, fmt::format("{}[{}]", path, i)});
  }
  if (required && array->empty()) wrong(node, key, "empty", "at least one table");
  return out;
}

std::vector<std::pair<std::string, ConfigTable>> ConfigTable::named_tables(std::string_view key) {
  std::vector<std::pair<std::string, ConfigTable>> out;
  std::optional<ConfigTable> parent = table(key);
  if (!parent) return out;
  for (const auto& [name, node] : table_of(parent->node_)) {
    std::optional<ConfigTable> child = parent->table(name.str());
    if (child) out.emplace_back(std::string{name.str()}, *child);
  }
  return out;
}

// ---- ConfigReader ----------------------------------------------------------------------------------------------

ConfigReader::ConfigReader(std::string_view text, std::string file) : state_(std::make_unique<State>()) {
  state_->file = std::move(file);
  toml::parse_result result = toml::parse(text, std::string_view{state_->file});
  if (result) {
    state_->root = std::move(result).table();
  } else {
    state_->parsed = false;
    state_->problems.push_back({state_->file, static_cast<int>(result.error().source().begin.line), "",
                                std::string{result.error().description()}, "TOML"});
  }
  state_->asked[state_->root_node()];
}

ConfigReader::~ConfigReader() = default;

void ConfigReader::override_string(std::string_view key, std::string_view value, std::string source) {
  state_->root.insert_or_assign(key, std::string{value});
  state_->overridden.insert_or_assign(std::string{key}, std::move(source));
}

ConfigTable ConfigReader::root() { return ConfigTable{this, state_->root_node(), ""}; }

std::vector<ConfigProblem> ConfigReader::problems() const {
  std::vector<ConfigProblem> out = state_->problems;
  if (state_->parsed) state_->note_unknown(state_->root_node(), "", out);
  std::stable_sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.line < b.line; });
  return out;
}

}  // namespace qanat::base
