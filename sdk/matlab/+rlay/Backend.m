classdef Backend < handle
%BACKEND What rlay.ServerBackend and rlay.ClientBackend have in common: the loop that serves one session.
  properties
    address
    options
    isClosed = false
  end
  properties (Access = protected)
    make
    host
    port
    session = []
    links = {} % connections and their sockets
    env = [] % while it is open
    isPolled = false % whether the environment has no step
    turns = {} % of the poll form
    said = {} % lines of the log, and how often each was logged
    times = []
  end
  methods
    function self = Backend(make, address, varargin)
      if exist('OCTAVE_VERSION', 'builtin')
        pkg('load', 'instrument-control');
      end
      if ~isa(make, 'function_handle')
        error('rlay:usage', 'a backend takes a function that makes an environment');
      end
      self.make = make;
      self.address = address;
      if nargin == 3 && isstruct(varargin{1})
        self.options = varargin{1};
      else
        self.options = rlay.options(varargin{:});
      end
      [self.host, self.port] = parseAddress(address);
    end

    function run(self)
      %RUN Hosts until close().
      while ~self.isClosed
        self.pump(0.5);
      end
    end
    function turn = poll(self)
      %POLL The poll form: the next rlay.Turn of an environment without a step, or []. It does not wait for the agent.
      turn = [];
      self.settle(); % sends what was replied since
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
      self.tick();
      self.connect();
      [timeout, isReady] = self.wait(timeout);
      for i = find(isReady)
        link = self.links{i};
        link.connection.receive(link.channel.receive(timeout));
      end
      self.settle();
    end
    function close(self)
      %CLOSE Admits no agent any more, ends the session, and closes its environment.
      self.isClosed = true;
      if ~isempty(self.session)
        self.session.goodbye(0, '');
      end
      self.settle();
      ends = rlay.clock() + 1;
      while ~isempty(self.links) && rlay.clock() < ends
        self.pump(0.1);
      end
    end
  end

  methods (Access = protected)
    function connect(~)
      % Adds a link, if it is time and there is a peer. Each backend has its own.
    end
    function ended(~, ~)
      % A link has ended.
    end
    function tick(~)
      % What else has its time.
    end
    function [left, isReady] = wait(self, timeout)
      % Waits until there is something to do; returns for how long the links have to wait themselves, and which to read.
      left = timeout;
      isReady = true(1, numel(self.links));
      if isempty(self.links)
        pause(min(timeout, 0.01));
      end
    end
    function settle(self)
      % Serves the session, sends what it says, and forgets what has ended.
      if ~isempty(self.session)
        self.serve();
      end
      isOver = false(1, numel(self.links));
      for i = 1:numel(self.links)
        self.links{i}.settle();
        isOver(i) = self.links{i}.isOver;
      end
      gone = self.links(isOver);
      self.links = self.links(~isOver);
      for i = 1:numel(gone)
        self.ended(gone{i}.connection);
      end
      if ~isempty(self.session) && self.session.isOver
        self.sessionOver();
      end
    end
    function sessionOver(self)
      session = self.session;
      self.session = [];
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
    function serve(self)
      % Asks the environment what the agent wants.
      session = self.session; % an environment may close the backend
      turn = session.nextTurn();
      while ~isempty(turn)
        if ~isempty(self.env) && self.isPolled
          if strcmp(turn.kind, 'close')
            self.env = [];
          end
          self.turns{end + 1} = turn;
        else
          self.answer(session, turn);
        end
        turn = session.nextTurn();
      end
    end
    function answer(self, session, turn)
      env = self.env;
      try
        switch turn.kind
          case 'make'
            made = self.make(turn.make);
            if isnumeric(made) || islogical(made) || ischar(made) || iscell(made) || isa(made, 'function_handle')
              error('rlay:usage', 'an environment is an object or a struct');
            end
            self.env = made;
            self.isPolled = ~rlay.has(self.env, 'step');
            turn.reply(self.env);
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
      env = self.env;
      self.env = [];
      if isempty(env)
        return
      end
      if self.isPolled
        self.turns{end + 1} = rlay.Turn(session, 0, 'close');
      elseif rlay.has(env, 'close')
        env.close();
      end
    end
  end
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
