classdef Backend < handle
%BACKEND What rlay.ServerBackend and rlay.ClientBackend have in common: the loop that serves the sessions.
  properties
    address
    options
    isClosed = false
  end
  properties (Access = protected)
    make
    host
    port
    sessions = {} % that are not over
    links = {} % connections and their sockets
    turns = {} % of the poll form
    said = {} % lines of the log, and how often each was logged
    times = []
    lastExchange = 0 % when bytes were last moved
    lastAsked = 0 % which session's environment had a turn last
  end
  methods
    function self = Backend(make, address, varargin)
      if ~isa(make, 'function_handle')
        error('rlay:usage', 'a backend takes a function that makes an environment');
      end
      self.make = make;
      self.address = rlay.chars(address);
      if nargin == 3 && isstruct(varargin{1})
        self.options = varargin{1};
      else
        self.options = rlay.options(varargin{:});
      end
      [self.host, self.port] = parseAddress(self.address);
    end

    function run(self)
      %RUN Hosts until close(), which an interrupt and an error do, too.
      closes = onCleanup(@() self.close()); %#ok<NASGU>
      while ~self.isClosed
        self.pump(0.5);
      end
    end
    function turn = poll(self)
      %POLL The poll form: the next rlay.Turn of an environment without a step, or []. It does not wait for the agent;
      %   only where it was not called for half a second, it waits up to 0.1 s for a handshake that is under way.
      turn = [];
      self.flush(); % what was replied since
      self.pump(0);
      while isempty(turn) && ~isempty(self.turns)
        first = self.turns{1};
        self.turns(1) = [];
        % Has the environment closed although the agent does not wait for the answer.
        if first.isOpen() || strcmp(first.kind, 'close')
          turn = first;
        end
      end
    end
    function pump(self, timeout)
      %PUMP Moves bytes, and answers what can be answered; waits for at most so many seconds if there is nothing to do.
      wasAway = rlay.clock() - self.lastExchange > 0.5;
      self.exchange(timeout);
      if wasAway
        % Steps, or the program's own work between two calls of poll(), take long. A dialer does not wait for several of
        % them, so its handshake is completed before the next one.
        ends = rlay.clock() + 0.1;
        while any(cellfun(@(link) link.isNew(), self.links)) && rlay.clock() < ends
          self.exchange(0.02);
        end
      end
      self.tick();
      self.settle();
    end
    function close(self)
      %CLOSE Admits no agent any more, ends the sessions, and closes their environments.
      self.isClosed = true;
      cellfun(@(session) session.goodbye(0, ''), self.sessions);
      for i = 1:numel(self.links)
        connection = self.links{i}.connection;
        if connection.isShaking()
          connection.abort(rlay.failure(10, 'the backend was closed'));
        end
      end
      self.settle();
      self.exchange(0);
      ends = rlay.clock() + 1;
      while ~isempty(self.links) && rlay.clock() < ends
        self.exchange(0.1);
      end
      cellfun(@(link) link.close(), self.links);
      self.links = {};
    end
  end

  methods (Access = protected)
    function again = connect(~)
      % Adds a link where it is time and there is a peer; returns when to look again. Each backend has its own.
      again = Inf;
    end
    function listener = listening(~)
      % What to wait for new peers at, if anything.
      listener = [];
    end
    function ended(~, ~)
      % A link has ended.
    end
    function tick(~)
      % What else has its time.
    end
    function exchange(self, timeout)
      % Reads what has arrived, for which it waits for at most so many seconds, sends what there is, and ends what takes
      % too long. This is decided after reading, for an answer may have come while an environment was at work.
      again = self.connect();
      links = self.links;
      if any(cellfun(@(link) link.isTimed(), links))
        timeout = min(timeout, 0.2);
      end
      readers = links(cellfun(@(link) link.wantsToRead(), links));
      hasMore = cellfun(@(link) link.connection.hasMore(), readers);
      if any(hasMore)
        timeout = 0;
      end
      owing = readers(hasMore); % what has arrived is handled before more is read
      readers = readers(~hasMore);
      writers = links(cellfun(@(link) link.wantsToWrite(), links));
      [isReadable, isWritable] = rlay.waitFor(self.listening(), channels(readers), channels(writers), ...
        max(min(timeout, again - rlay.clock()), 0));
      for link = writers(isWritable)
        link{1}.connect();
      end
      for link = owing
        link{1}.connection.receive([]);
      end
      for link = readers(isReadable)
        link{1}.receive();
      end
      cellfun(@(link) link.settle(), self.links);
      isOver = cellfun(@(link) link.isOver, self.links);
      gone = self.links(isOver);
      self.links = self.links(~isOver);
      for i = 1:numel(gone)
        self.ended(gone{i});
      end
      self.lastExchange = rlay.clock();
    end
    function flush(self)
      cellfun(@(link) link.flush(), self.links);
    end
    function settle(self)
      % Serves the sessions, sends what they say, and forgets what has ended. An environment may close the backend.
      sessions = self.sessions;
      n = numel(sessions);
      % Begins behind the one that was asked last, so that none waits for two steps of another.
      for i = mod(self.lastAsked + (0:n - 1), n) + 1
        if self.serve(sessions{i})
          self.lastAsked = i;
          self.flush();
        end
      end
      isOver = cellfun(@(session) session.isOver, self.sessions);
      gone = self.sessions(isOver);
      self.sessions = self.sessions(~isOver);
      for i = 1:numel(gone)
        self.sessionOver(gone{i});
      end
    end
    function sessionOver(self, session)
      self.tryToCloseEnv(session);
      why = '';
      if ~isempty(session.failure)
        why = [': ' session.failure.message];
      end
      if ~isempty(session.env)
        self.say(sprintf('the agent left after %d steps%s', session.steps, why));
      elseif ~isempty(why) && ~self.isClosed
        self.log(['a session ended before it began' why]);
      end
    end
    function log(self, text)
      % Logs the first, tenth, hundredth... time, for peers can repeat anything.
      place = find(strcmp(self.said, text));
      if isempty(place)
        if numel(self.said) > 1000
          self.said = {};
          self.times = [];
        end
        place = numel(self.said) + 1;
        self.said{place} = text;
        self.times(place) = 0;
      end
      n = self.times(place) + 1;
      self.times(place) = n;
      if n == 1
        self.say(text);
      elseif 10 ^ round(log10(n)) == n
        self.say(sprintf('%s (%d times so far)', text, n));
      end
    end
    function say(self, text)
      % Logs each time.
      try
        self.options.log([self.address ': ' text]);
      catch
        % A log that fails does not end a session, and there is no other place to say so.
      end
    end
  end

  methods (Access = private)
    function wasAsked = serve(self, session)
      % Asks the environment of a session what its agent wants, if anything.
      turn = session.nextTurn();
      wasAsked = ~isempty(turn);
      while ~isempty(turn)
        if session.isPolled
          if strcmp(turn.kind, 'close')
            session.openEnv = [];
            session.isPolled = false;
          end
          self.turns{end + 1} = turn;
        else
          self.answer(session, turn);
        end
        turn = session.nextTurn();
      end
    end
    function answer(self, session, turn)
      env = session.openEnv;
      try
        switch turn.kind
          case 'make'
            made = self.make(turn.make);
            isText = ischar(made) || isa(made, 'string');
            if isnumeric(made) || islogical(made) || isText || iscell(made) || isa(made, 'function_handle')
              error('rlay:usage', 'an environment is an object or a struct');
            end
            session.isPolled = ~rlay.has(made, 'step');
            session.openEnv = made;
            if session.isOver
              % The function that makes it has closed the backend.
              self.tryToCloseEnv(session);
              return
            end
            turn.reply(made);
            self.say('an agent joined');
          case 'reset'
            [observation, info] = env.reset(turn.seed, turn.options);
            turn.reply(observation, info);
          case 'step'
            [observation, reward, terminated, truncated, info] = env.step(turn.action);
            turn.reply(observation, reward, terminated, truncated, info);
          case 'render'
            turn.reply(env.render());
          case 'close'
            self.closeEnv(session);
            turn.reply();
        end
      catch err
        self.log(['the environment failed: ' err.message]);
        if strcmp(err.identifier, 'rlay:large')
          session.answerError(turn, 1, err);
        else
          turn.fail(err);
        end
        if strcmp(turn.kind, 'make')
          self.tryToCloseEnv(session);
        end
      end
    end
    function tryToCloseEnv(self, session)
      try
        self.closeEnv(session);
      catch err
        self.log(['the environment failed: ' err.message]);
      end
    end
    function closeEnv(self, session)
      env = session.openEnv;
      isPolled = session.isPolled;
      session.openEnv = [];
      session.isPolled = false;
      if isPolled
        self.turns{end + 1} = rlay.Turn(session, 0, 'close');
      elseif ~isempty(env) && rlay.has(env, 'close')
        env.close();
      end
    end
  end
end

function found = channels(links)
  found = cellfun(@(link) link.channel, links, 'UniformOutput', false);
end

function [host, port] = parseAddress(text)
  parts = regexp(char(text), '^([a-z0-9+]+)://(.*)$', 'tokens', 'once');
  if isempty(parts)
    error('rlay:address', '%s: an address looks like tcp://127.0.0.1:5005', rlay.shown(char(text)));
  elseif ~strcmp(parts{1}, 'tcp')
    error('rlay:address', '%s: this client has no %s://; use tcp:// at both ends', rlay.shown(text), parts{1});
  end
  place = regexp(parts{2}, '^\[?([^\[\]?]+?)\]?:(\d+)$', 'tokens', 'once');
  if isempty(place) || str2double(place{2}) > 65535
    error('rlay:address', '%s: a tcp address is tcp://host:port', rlay.shown(text));
  end
  host = place{1};
  port = str2double(place{2});
end
