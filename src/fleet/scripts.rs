//! What Redis does in one step: while a script runs, Redis runs no other command.
//!
//! INVARIANT: a script touches the keys of one instance, or those of the fleet, never both: so in a Redis Cluster each of
//! them would find its keys on one node. Only [`LOOK`] reads across; nothing depends on what it reads being of one moment.
//!
//! An epoch is below 2⁵³, so that Lua's numbers hold it exactly. `KEYS` and `ARGV` are Redis's names for what a script is
//! given; each script's comment says what they are.

/// Gives an instance its place in the fleet, its number and its next epoch. KEYS: the epochs' counter, the numbers, the
/// members, the revision. ARGV: the instance; what the epoch must be higher than; the number that the instance had, or 0;
/// how many members there may be; for how many milliseconds one that does not beat is a member; the highest number.
///
/// Answers 1, the epoch and the number; or 0 if there is no place, or -1 if there is no number, each with two noughts.
///
/// A number is kept for good, also when its instance is no member any more: ids of sessions name it.
pub(super) const ENLIST: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now - ARGV[5]))
if not redis.call('ZSCORE', KEYS[3], ARGV[1])
  and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[4]) then
  return {0, 0, 0}
end
local highest = tonumber(ARGV[6])
local number = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) or 0
if number < 1 or number > highest then
  local is_given, last = {}, 0
  for _, given in ipairs(redis.call('HVALS', KEYS[2])) do
    given = tonumber(given) or 0
    is_given[given] = true
    last = math.max(last, given)
  end
  local had = tonumber(ARGV[3])
  number = last + 1
  if had > 0 and not is_given[had] then
    number = had
  elseif number > highest then
    number = 1
    while is_given[number] do number = number + 1 end
    if number > highest then return {-1, 0, 0} end
  end
  redis.call('HSET', KEYS[2], ARGV[1], number)
end
local counted = tonumber(redis.call('GET', KEYS[1]) or 0) or 0
local epoch = math.max(counted, tonumber(ARGV[2])) + 1
redis.call('SET', KEYS[1], string.format('%.0f', epoch))
redis.call('ZADD', KEYS[3], string.format('%.0f', now), ARGV[1])
redis.call('INCR', KEYS[4])
return {1, epoch, number}";

/// Writes a new lease, unless the one that is there is not as it was read (answer 0). KEYS: the lease. ARGV: the epoch as
/// it was read, empty if there was no lease; the beat as it was read, or empty if any will do; epoch, number, Engine,
/// holder, state and facts; for how many milliseconds Redis keeps it.
pub(super) const CLAIM: &str = "
local found = redis.call('HMGET', KEYS[1], 'epoch', 'beat')
if (found[1] or '') ~= ARGV[1] then return 0 end
if ARGV[2] ~= '' and found[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'epoch', ARGV[3], 'beat', 0, 'number', ARGV[4], 'engine', ARGV[5],
  'holder', ARGV[6], 'state', ARGV[7], 'facts', ARGV[8])
redis.call('PEXPIRE', KEYS[1], ARGV[9])
return 1";

/// Counts a beat. KEYS: the lease. ARGV: the epoch, the holder, the state, the facts, for how many milliseconds Redis keeps
/// the lease.
///
/// Answers 1, the count, and whether state or facts are other ones. Or, having written nothing: 0 if the epoch is closed;
/// -1 if there is no lease or one of an earlier epoch; -2 and its epoch if it is another process's.
pub(super) const BEAT: &str = "
local found = redis.call('HMGET', KEYS[1], 'epoch', 'holder', 'state', 'facts')
local epoch = tonumber(found[1] or '')
local own = tonumber(ARGV[1])
if not epoch or epoch < own then return {-1, 0, 0} end
if epoch > own or found[2] ~= ARGV[2] then return {-2, epoch, 0} end
if found[3] == 'buried' then return {0, 0, 0} end
local has_changed = 0
if found[3] ~= ARGV[3] or found[4] ~= ARGV[4] then
  redis.call('HSET', KEYS[1], 'state', ARGV[3], 'facts', ARGV[4])
  has_changed = 1
end
local count = redis.call('HINCRBY', KEYS[1], 'beat', 1)
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return {1, count, has_changed}";

/// Closes an epoch, unless the instance has beaten since, has begun another epoch, or was buried already (answer 0). KEYS:
/// the lease. ARGV: epoch and beat as they were seen.
pub(super) const BURY: &str = "
local found = redis.call('HMGET', KEYS[1], 'epoch', 'beat', 'state')
if found[1] ~= ARGV[1] or found[2] ~= ARGV[2] or found[3] == 'buried' then return 0 end
redis.call('HSET', KEYS[1], 'state', 'buried')
return 1";

/// What of a beat concerns the fleet: keeps the instance a member, and counts a change of a lease. KEYS: the members, the
/// revision, the line. ARGV: the instance, and how many changes there are to count.
///
/// Answers the revision and the line's length.
pub(super) const PULSE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[1])
local revision
if ARGV[2] == '0' then
  revision = tonumber(redis.call('GET', KEYS[2]) or 0) or 0
else
  revision = redis.call('INCRBY', KEYS[2], ARGV[2])
end
return {revision, redis.call('ZCARD', KEYS[3])}";

/// Reads the leases of all members. KEYS: the members, the revision. ARGV: how a lease's key begins, and how it ends; how
/// many members are read; how long facts may be, of which longer ones are left out; and the fields.
///
/// Answers the revision, and for each lease the member's name and the fields' values.
pub(super) const LOOK: &str = "
local found = {}
for _, name in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, ARGV[3] - 1)) do
  local key = ARGV[1] .. name .. ARGV[2]
  if redis.call('TYPE', key)['ok'] == 'hash' then
    local lease = {name}
    for place = 5, #ARGV do
      local value = false
      if redis.call('HSTRLEN', key, ARGV[place]) <= tonumber(ARGV[4]) then
        value = redis.call('HGET', key, ARGV[place])
      end
      lease[#lease + 1] = value
    end
    found[#found + 1] = lease
  end
end
return {tonumber(redis.call('GET', KEYS[2]) or 0) or 0, found}";
