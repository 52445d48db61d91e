-- Asks for stretches of a random ticker, start minute and length; at the end, one line of JSON.
-- Arguments: path, tickers, first start, how many starts, shortest and longest length in minutes.
local path, tickers, first, starts, shortest, longest

function init(args)
  path, tickers = args[1], {}
  for ticker in args[2]:gmatch("[^,]+") do
    tickers[#tickers + 1] = ticker
  end
  first, starts = tonumber(args[3]), tonumber(args[4])
  shortest, longest = tonumber(args[5]), tonumber(args[6])
  math.randomseed(tonumber(args[7]))
end

function request()
  local from = first + 60 * math.random(0, starts - 1)
  local span = {
    ticker = tickers[math.random(#tickers)],
    from = from,
    to = from + 60 * (math.random(shortest, longest) - 1),
  }
  return wrk.format("GET", (path:gsub("{(%w+)}", span)))
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
