"""The recommender in agents of one's own: tools with live schemas, the retriever, the example."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from tanqu.agent.chat import as_retriever, as_tools
from tanqu.agent.chat.agent import ChatAgent
from tanqu.agent.chat.langchain import call_limits
from tanqu.agent.recommender import Recommender
from tanqu.agent.settings import Settings
from tanqu.agent.store import ScoreCache
from tanqu.agent.store.memory import Memory
from tanqu.evaluation.data.samples import load_sample
from tanqu.models.embedder import HashEmbedder
from tanqu.models.langchain.chat_model import ChatTanqu
from tanqu.models.language_model import Prompt
from tanqu.models.scripted_model import ScriptedModel
from tanqu.vectorstore.catalogue import Catalogue
from tanqu.vectorstore.database import memory_database

USER = "video-lin"


@pytest.fixture
def recommender(tmp_path: Path) -> Iterator[Recommender]:
    sample = load_sample("video", "en")
    engine = memory_database()
    catalogue = Catalogue.in_memory(sample.items, HashEmbedder())
    settings = Settings(home=tmp_path, scenario="video", language="en")
    with Recommender(catalogue, Memory(engine), ScoreCache(engine), None, settings, engine) as made:
        made.record(sample.events)
        yield made


def _named(tools: list[BaseTool]) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in tools}


def _call(tool: BaseTool, **arguments: Any) -> ToolMessage:
    found = tool.invoke({"type": "tool_call", "id": "1", "name": tool.name, "args": arguments})
    assert isinstance(found, ToolMessage)
    return found


def test_the_seven_tools_give_text_for_the_model_and_plain_data_for_code(recommender: Recommender) -> None:
    tools = _named(as_tools(recommender, USER))
    assert sorted(tools) == ["explain", "feedback", "profile", "recommend", "refine", "report", "search"]
    found = _call(tools["recommend"], request="films under 110 minutes", count=3)
    assert json.loads(json.dumps(found.artifact)) == found.artifact
    assert found.artifact["shown"][0]["title"] in found.content
    assert len(found.artifact["shown"]) == 3


def test_the_tools_share_one_conversation(recommender: Recommender) -> None:
    tools = _named(as_tools(recommender, USER))
    first = _call(tools["recommend"], request="something").artifact["shown"][0]["id"]
    _call(tools["feedback"], do="like", items=[first])
    assert recommender.memory.recent(USER, 1)[0].item == first
    assert "Taken back" in str(_call(tools["profile"], do="undo").content)
    assert "no horror" not in str(_call(tools["refine"], do="narrow", words="no horror").content)


def test_a_schema_names_the_items_and_interests_of_the_moment(recommender: Recommender) -> None:
    tools = _named(as_tools(recommender, USER))
    shown = [one["id"] for one in _call(tools["recommend"], request="something").artifact["shown"]]
    explain = convert_to_openai_tool(tools["explain"])["function"]["parameters"]["properties"]
    assert explain["items"]["items"]["enum"] == shown
    profile = convert_to_openai_tool(tools["profile"])["function"]["parameters"]["properties"]
    names = [one.keyword for one in recommender.profile(USER).interests]
    assert profile["interest"]["enum"] == [*names, None]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("explain", {"do": "why", "items": ["nothing"]}),
        ("explain", {"do": "praise", "items": ["video-hunter"]}),
        ("feedback", {"do": "like", "items": []}),
        ("profile", {"do": "mute", "interest": "nothing"}),
        ("refine", {"do": "more", "item": "nothing"}),
        ("search", {}),
        ("recommend", {"count": 1000}),
        ("recommend", {"request": "x", "surprise": True}),
    ],
)
def test_a_wrong_call_comes_back_as_text_that_says_what_is_wrong(
    recommender: Recommender, name: str, arguments: dict[str, Any]
) -> None:
    events = recommender.memory.events(USER)
    found = _call(_named(as_tools(recommender, USER))[name], **arguments)
    assert found.status == "error" and len(str(found.content)) > 10
    assert recommender.memory.events(USER) == events


def test_an_agent_of_ones_own_recommends_and_explains(recommender: Recommender) -> None:
    def why(prompt: Prompt) -> str:
        first = prompt.text.split("[video-")[1].split("]")[0]
        return json.dumps({"tool": "explain", "args": {"do": "why", "items": [f"video-{first}"]}})

    model = ScriptedModel(
        [
            '{"tool":"recommend","args":{"request":"quiet films","count":2}}',
            why,
            '{"answer":"There you are."}',
        ]
    )
    agent = create_agent(ChatTanqu(model), as_tools(recommender, USER))
    state = agent.invoke({"messages": [HumanMessage("two quiet films, and why the first")]})
    told = [message for message in state["messages"] if isinstance(message, ToolMessage)]
    assert [message.name for message in told] == ["recommend", "explain"]
    assert "Score" in str(told[1].content) and state["messages"][-1].text == "There you are."


def test_an_agent_that_keeps_calling_is_ended(recommender: Recommender) -> None:
    again = '{"tool":"recommend","args":{"request":"more films","count":1}}'
    model = ScriptedModel(reply=lambda prompt: again)
    agent = create_agent(ChatTanqu(model), as_tools(recommender, USER), middleware=call_limits())
    state = agent.invoke({"messages": [HumanMessage("films")]})
    carried_out = [one for one in state["messages"] if isinstance(one, ToolMessage) and one.artifact]
    assert 1 <= len(carried_out) <= 4
    assert "limit" in state["messages"][-1].text


def test_the_models_small_talk_calls_no_tool_whatever_it_writes(recommender: Recommender) -> None:
    again = '{"tool":"recommend","args":{"request":"more films","count":1}}'
    spoken = recommender.view(model=ScriptedModel(reply=lambda prompt: again))
    with ChatAgent(spoken, "somebody") as agent:
        events = list(agent.stream("how are you feeling on this fine day"))
        assert not agent.toolbox.state.shown
    assert {event.kind for event in events} == {"text", "done"}


def test_the_retriever_gives_documents_with_reasons(recommender: Recommender) -> None:
    documents = as_retriever(recommender, USER, k=3, where={"genre": {"$ne": "horror"}}).invoke("space")
    assert len(documents) == 3
    for document in documents:
        assert document.metadata["reason"] and document.metadata["genre"] != "horror"
        assert document.id == document.metadata["id"] and document.metadata["title"] in document.page_content


def test_the_example_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(__file__).parents[3] / "examples" / "langgraph_agent.py"
    spec = importlib.util.spec_from_file_location("langgraph_agent", path)
    assert spec is not None and spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    answers = iter(['{"tool":"recommend","args":{"request":"space","count":2}}', '{"answer":"Two films."}'])

    def reply(prompt: Prompt) -> str:
        if "recommend films" in prompt.text:
            return next(answers)
        is_name = prompt.messages[-1].role == "assistant" and '"keyword"' in prompt.text
        return '{"keyword":"films of space","theme":"space"}' if is_name else " is about the same things."

    ids = example.main(ScriptedModel(reply=reply), tmp_path, HashEmbedder())
    assert len(ids) == 2 and "Two films." in capsys.readouterr().out
